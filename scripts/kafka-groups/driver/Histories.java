package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.requests.RequestContext;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.coordinator.group.classic.ClassicGroup;
import org.apache.kafka.coordinator.group.classic.ClassicGroupState;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** Runs histories, one line a step, and writes the outcome of each line. */
final class Histories {
    /** Kinds of steps after which the committed offsets are written. */
    private static final Set<String> CHANGE_OFFSETS = Set.of("commit", "offset_delete", "delete_groups", "cleanup", "restart");
    /** Kinds of steps that name no group. */
    private static final Set<String> CONCERN_ALL_GROUPS = Set.of("advance", "append_done", "cleanup", "list", "restart");

    private Coordinator coordinator;
    /** Kafka gets protocols that are named twice as they are. Otherwise it gets the first of each name. */
    private boolean namesProtocolsTwice;
    /** Requests without a reply yet, by token. */
    private final Map<Long, CompletableFuture<ObjectNode>> parked = new TreeMap<>();

    /** Returns the outcome of one line. */
    JsonNode run(JsonNode line) {
        if (line.has("history")) return begin(line);
        if (line.has("end")) return end(line);
        return step(line);
    }

    private JsonNode begin(JsonNode line) {
        coordinator = new Coordinator(line.get("config"));
        namesProtocolsTwice = line.get("names_protocols_twice").asBoolean();
        parked.clear();
        return Json.object().set("history", line.get("history"));
    }

    private JsonNode end(JsonNode line) {
        ObjectNode outcome = Json.object();
        outcome.set("end", line.get("end"));
        ArrayNode tokens = outcome.putArray("parked");
        parked.keySet().forEach(tokens::add);
        return outcome;
    }

    private JsonNode step(JsonNode line) {
        JsonNode op = line.get("op");
        String kind = op.get("kind").asText();
        int logSize = coordinator.logSize();
        MemberIds.expectNone();
        if (op.hasNonNull("uuid")) MemberIds.expect(UUID.fromString(op.get("uuid").asText()));
        coordinator.setAppendOutcome(op.hasNonNull("append") ? op.get("append").asText() : "ok");
        execute(kind, op);

        ObjectNode outcome = Json.object();
        outcome.set("step", line.get("step"));
        outcome.put("now", coordinator.nowMs());
        takeReplies(outcome.putArray("replies"));
        outcome.set("groups", Views.groups(coordinator, groupsOf(kind, op)));
        coordinator.takeGroupsThatWaitForNobody().forEach(outcome.putArray("wait_for_nobody")::add);
        if (CHANGE_OFFSETS.contains(kind)) outcome.set("offsets", Views.offsets(coordinator));
        ArrayNode records = outcome.putArray("records");
        coordinator.logFrom(logSize).forEach(record -> records.addArray().add(record.key()).add(record.value()));
        return outcome;
    }

    private Collection<String> groupsOf(String kind, JsonNode op) {
        if (CONCERN_ALL_GROUPS.contains(kind)) return new ArrayList<>(coordinator.groups().groupIds());
        if (op.has("groups")) return Requests.texts(op.get("groups"));
        return op.has("group") ? List.of(op.get("group").asText()) : List.of();
    }

    /** Writes the replies that are there, in the order of their tokens. */
    private void takeReplies(ArrayNode replies) {
        List<Long> answered = new ArrayList<>();
        parked.forEach((token, future) -> {
            if (!future.isDone()) return;
            answered.add(token);
            replies.add(Json.object().put("token", token).setAll(future.join()));
        });
        answered.forEach(parked::remove);
    }

    private void execute(String kind, JsonNode op) {
        switch (kind) {
            case "advance" -> coordinator.advance(op.get("ms").asLong());
            case "cleanup" -> coordinator.cleanup();
            case "restart" -> coordinator.restart();
            case "append_done" -> coordinator.completeOpenAppends(op.get("append").asText());
            default -> parked.put(op.get("token").asLong(), request(kind, op));
        }
    }

    private CompletableFuture<ObjectNode> request(String kind, JsonNode op) {
        GroupCoordinatorService service = coordinator.requests();
        RequestContext context = Requests.context(apiKey(kind), op);
        BufferSupplier buffers = BufferSupplier.NO_CACHING;
        return switch (kind) {
            case "join" -> join(context, op);
            case "sync" -> service.syncGroup(context, Requests.sync(op), buffers).thenApply(Replies::sync);
            case "heartbeat" -> service.heartbeat(context, Requests.heartbeat(op)).thenApply(Replies::heartbeat);
            case "leave" -> service.leaveGroup(context, Requests.leave(op)).thenApply(Replies::leave);
            case "commit" -> service.commitOffsets(context, Requests.commit(op), buffers).thenApply(Replies::commit);
            case "fetch" -> service.fetchOffsets(context, Requests.fetch(op), false).thenApply(Replies::fetch);
            case "offset_delete" ->
                service.deleteOffsets(context, Requests.offsetDelete(op), buffers).thenApply(Replies::offsetDelete);
            case "delete_groups" -> service.deleteGroups(context, Requests.texts(op.get("groups")), buffers)
                .thenApply(response -> Replies.deleteGroups(op, response));
            case "describe" ->
                service.describeGroups(context, Requests.texts(op.get("groups"))).thenApply(Replies::describe);
            case "list" -> service.listGroups(context, Requests.listGroups(op)).thenApply(Replies::list);
            default -> throw new IllegalArgumentException("no request is called " + kind);
        };
    }

    private CompletableFuture<ObjectNode> join(RequestContext context, JsonNode op) {
        JoinGroupRequestData request = Requests.join(op);
        if (!namesProtocolsTwice) Requests.keepFirstOfEachName(request);
        if (op.path("too_many_bytes").asBoolean()) return joinInVain(context, request);
        return coordinator.requests().joinGroup(context, request, BufferSupplier.NO_CACHING).thenApply(Replies::join);
    }

    /**
     * Has Kafka refuse a JoinGroup that we refuse because of its bytes: Kafka gets it without protocols. An id that was handed out
     * to the member is taken back. We do that too, because the others would wait for it.
     */
    private CompletableFuture<ObjectNode> joinInVain(RequestContext context, JoinGroupRequestData request) {
        GroupCoordinatorService service = coordinator.requests();
        request.setProtocols(new JoinGroupRequestData.JoinGroupRequestProtocolCollection());
        CompletableFuture<ObjectNode> reply =
            service.joinGroup(context, request, BufferSupplier.NO_CACHING).thenApply(Replies::join);
        ClassicGroup group = coordinator.group(request.groupId());
        if (group == null || !group.isPendingMember(request.memberId())) return reply;
        if (group.isInState(ClassicGroupState.PREPARING_REBALANCE)) {
            service.leaveGroup(Requests.context(ApiKeys.LEAVE_GROUP, context), Requests.leave(request));
        } else {
            // A leave would begin a rebalance here. In this state Kafka forgets an id as its session ends.
            group.remove(request.memberId());
        }
        return reply;
    }

    private static ApiKeys apiKey(String kind) {
        return switch (kind) {
            case "join" -> ApiKeys.JOIN_GROUP;
            case "sync" -> ApiKeys.SYNC_GROUP;
            case "heartbeat" -> ApiKeys.HEARTBEAT;
            case "leave" -> ApiKeys.LEAVE_GROUP;
            case "commit" -> ApiKeys.OFFSET_COMMIT;
            case "fetch" -> ApiKeys.OFFSET_FETCH;
            case "offset_delete" -> ApiKeys.OFFSET_DELETE;
            case "delete_groups" -> ApiKeys.DELETE_GROUPS;
            case "describe" -> ApiKeys.DESCRIBE_GROUPS;
            case "list" -> ApiKeys.LIST_GROUPS;
            default -> throw new IllegalArgumentException("no request is called " + kind);
        };
    }
}
