package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Assigns partitions to members with the assignors of Kafka's own consumer. */
final class Assignors {
    /** Cooperative rounds after which no more are tried. */
    private static final int ROUNDS_MAX = 8;
    private static final Node NODE = new Node(0, "localhost", 9092);

    private Assignors() { }

    /** Returns the assignment of each assignor for the membership of one line; of the cooperative one, all rounds. */
    static JsonNode assign(JsonNode membership) {
        Cluster cluster = cluster(membership.get("topics"));
        Map<String, Subscription> members = subscriptions(membership.get("members"));
        ObjectNode outcome = Json.object();
        outcome.set("membership", membership.get("membership"));
        for (ConsumerPartitionAssignor assignor : List.of(new RangeAssignor(), new RoundRobinAssignor())) {
            outcome.set(assignor.name(), view(assign(assignor, cluster, members)));
        }
        outcome.set(CooperativeStickyAssignor.COOPERATIVE_STICKY_ASSIGNOR_NAME, rounds(cluster, members));
        return outcome;
    }

    /** Returns the rounds of the cooperative assignor, or a text if Kafka's own check of its result fails. */
    private static JsonNode rounds(Cluster cluster, Map<String, Subscription> members) {
        var assignor = new CooperativeStickyAssignor();
        ArrayNode rounds = Json.object().putArray("rounds");
        int generation = members.values().stream().mapToInt(member -> member.generationId().orElse(-1)).max().orElse(-1);
        for (ArrayNode last = null; rounds.size() < ROUNDS_MAX; generation++) {
            Map<String, List<TopicPartition>> assignment;
            try {
                assignment = assign(assignor, cluster, members);
            } catch (IllegalStateException | NullPointerException e) {
                return TextNode.valueOf(e.getClass().getSimpleName());
            }
            ArrayNode round = view(assignment);
            if (round.equals(last)) break;
            rounds.add(round);
            last = round;
            members = owning(members, assignment, generation + 1);
        }
        return rounds;
    }

    private static Map<String, List<TopicPartition>> assign(
        ConsumerPartitionAssignor assignor, Cluster cluster, Map<String, Subscription> members
    ) {
        Map<String, List<TopicPartition>> partitions = new TreeMap<>();
        assignor.assign(cluster, new GroupSubscription(new HashMap<>(members))).groupAssignment()
            .forEach((member, assignment) -> partitions.put(member, assignment.partitions()));
        return partitions;
    }

    /** Returns the members as they join the next generation. */
    private static Map<String, Subscription> owning(
        Map<String, Subscription> members, Map<String, List<TopicPartition>> assignment, int generation
    ) {
        Map<String, Subscription> next = new HashMap<>();
        members.forEach((id, member) -> {
            Subscription joining = new Subscription(
                member.topics(), stickyData(generation), assignment.get(id), generation, Optional.empty());
            joining.setGroupInstanceId(member.groupInstanceId());
            next.put(id, joining);
        });
        return next;
    }

    private static Cluster cluster(JsonNode topics) {
        List<PartitionInfo> partitions = new ArrayList<>();
        Node[] nodes = {NODE};
        for (JsonNode topic : topics) {
            for (int partition = 0; partition < topic.get(1).asInt(); partition++) {
                partitions.add(new PartitionInfo(topic.get(0).asText(), partition, NODE, nodes, nodes));
            }
        }
        return new Cluster("cluster", List.of(NODE), partitions, Set.of(), Set.of());
    }

    private static Map<String, Subscription> subscriptions(JsonNode members) {
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (JsonNode member : members) {
            List<TopicPartition> owned = new ArrayList<>();
            for (JsonNode topic : member.get("owned")) {
                topic.get(1).forEach(partition -> owned.add(new TopicPartition(topic.get(0).asText(), partition.asInt())));
            }
            int generation = member.get("generation").asInt();
            Subscription subscription = new Subscription(
                Requests.texts(member.get("topics")), stickyData(generation), owned, generation, Optional.empty());
            if (member.hasNonNull("instance")) subscription.setGroupInstanceId(Optional.of(member.get("instance").asText()));
            subscriptions.put(member.get("id").asText(), subscription);
        }
        return subscriptions;
    }

    /** Returns the user data with which a cooperative-sticky consumer tells its generation. */
    private static ByteBuffer stickyData(int generation) {
        if (generation < 0) return null;
        ByteBuffer data = ByteBuffer.allocate(Integer.BYTES);
        data.putInt(generation).flip();
        return data;
    }

    private static ArrayNode view(Map<String, List<TopicPartition>> assignment) {
        ArrayNode members = Json.object().putArray("members");
        assignment.forEach((member, partitions) -> {
            Map<String, Set<Integer>> byTopic = new TreeMap<>();
            partitions.forEach(partition ->
                byTopic.computeIfAbsent(partition.topic(), topic -> new TreeSet<>()).add(partition.partition()));
            ArrayNode topics = members.addArray().add(member).addArray();
            byTopic.forEach((topic, numbers) -> {
                ArrayNode array = topics.addArray().add(topic).addArray();
                numbers.forEach(array::add);
            });
        });
        return members;
    }
}
