package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;

/** Reads JSON lines and writes what Kafka makes of each: {@code Driver histories} or {@code Driver assignors}. */
public final class Driver {
    private Driver() { }

    public static void main(String[] arguments) throws IOException {
        String mode = arguments.length == 1 ? arguments[0] : "";
        Function<JsonNode, JsonNode> answer = switch (mode) {
            case "histories" -> {
                MemberIds.install();
                yield new Histories()::run;
            }
            case "assignors" -> Assignors::assign;
            default -> throw new IllegalArgumentException("usage: Driver histories|assignors");
        };
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 20);
        var out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8), 1 << 16);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                out.write(answer.apply(Json.parse(line)).toString());
                out.newLine();
            } catch (RuntimeException e) {
                throw new IllegalStateException("no answer to this line: " + line, e);
            }
        }
        out.flush();
    }
}
