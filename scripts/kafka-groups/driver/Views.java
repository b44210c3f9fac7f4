package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.coordinator.group.classic.ClassicGroup;
import org.apache.kafka.coordinator.group.classic.ClassicGroupMember;

import java.util.Collection;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Writes the state of Kafka's coordinator: its groups and their committed offsets. */
final class Views {
    private Views() { }

    /** Returns each of the groups by id, or null where there is none. */
    static ObjectNode groups(Coordinator coordinator, Collection<String> ids) {
        ObjectNode groups = Json.object();
        for (String id : new TreeSet<>(ids)) {
            ClassicGroup group = coordinator.group(id);
            if (group == null) groups.putNull(id);
            else groups.set(id, group(group));
        }
        return groups;
    }

    private static ObjectNode group(ClassicGroup group) {
        ObjectNode view = Json.object();
        view.put("state", group.currentState().toString());
        view.put("generation", group.generationId());
        view.put("leader", group.leaderOrNull());
        view.put("protocol", group.protocolName().orElse(null));
        view.put("protocol_type", group.protocolType().orElse(null));
        ArrayNode members = view.putArray("members");
        group.allMembers().stream()
            .sorted(Comparator.comparing(ClassicGroupMember::memberId))
            .forEach(member -> members.addArray()
                .add(member.memberId())
                .add(member.groupInstanceId().orElse(null))
                .add(Json.hex(member.assignment()))
                .add(member.isAwaitingJoin())
                .add(member.isAwaitingSync()));
        sorted(view.putArray("pending"), Fields.<Collection<String>>read(group, "pendingJoinMembers"));
        sorted(view.putArray("pending_sync"), group.allPendingSyncMembers());
        group.subscribedTopics().ifPresentOrElse(
            topics -> sorted(view.putArray("subscribed"), topics), () -> view.putNull("subscribed"));
        return view;
    }

    private static void sorted(ArrayNode array, Collection<String> texts) {
        new TreeSet<>(texts).forEach(array::add);
    }

    /** Returns the committed offsets of each group that has any. */
    static ObjectNode offsets(Coordinator coordinator) {
        Map<String, Map<String, Map<Integer, OffsetAndMetadata>>> byGroup =
            Fields.read(Fields.read(coordinator.offsets(), "offsets"), "offsetsByGroup");
        ObjectNode groups = Json.object();
        new TreeMap<>(byGroup).forEach((group, topics) -> {
            ArrayNode offsets = groups.putArray(group);
            new TreeMap<>(topics).forEach((topic, partitions) ->
                new TreeMap<>(partitions).forEach((partition, offset) -> offsets.addArray()
                    .add(topic)
                    .add(partition)
                    .add(offset.committedOffset)
                    .add(offset.leaderEpoch.orElse(-1))
                    .add(offset.metadata)
                    .add(offset.commitTimestampMs)
                    .add(offset.expireTimestampMs.orElse(-1))));
        });
        return groups;
    }
}
