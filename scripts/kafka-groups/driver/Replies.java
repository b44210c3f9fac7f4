package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.common.message.DeleteGroupsResponseData;
import org.apache.kafka.common.message.DescribeGroupsResponseData;
import org.apache.kafka.common.message.HeartbeatResponseData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.LeaveGroupResponseData;
import org.apache.kafka.common.message.ListGroupsResponseData;
import org.apache.kafka.common.message.OffsetCommitResponseData;
import org.apache.kafka.common.message.OffsetDeleteResponseData;
import org.apache.kafka.common.message.OffsetFetchResponseData;
import org.apache.kafka.common.message.SyncGroupResponseData;
import org.apache.kafka.common.protocol.Errors;

import java.util.Comparator;
import java.util.LinkedHashSet;

/** Writes Kafka's responses as the replies of a history. */
final class Replies {
    private Replies() { }

    static ObjectNode join(JoinGroupResponseData response) {
        ObjectNode reply = reply("join", response.errorCode());
        reply.put("member", response.memberId());
        if (response.errorCode() != Errors.NONE.code()) return reply;
        reply.put("generation", response.generationId());
        reply.put("leader", response.leader());
        reply.put("protocol_type", response.protocolType());
        reply.put("protocol", response.protocolName());
        reply.put("skip", response.skipAssignment());
        ArrayNode members = reply.putArray("members");
        response.members().stream()
            .sorted(Comparator.comparing(JoinGroupResponseData.JoinGroupResponseMember::memberId))
            .forEach(member -> members.addArray()
                .add(member.memberId()).add(member.groupInstanceId()).add(Json.hex(member.metadata())));
        return reply;
    }

    static ObjectNode sync(SyncGroupResponseData response) {
        ObjectNode reply = reply("sync", response.errorCode());
        if (response.errorCode() != Errors.NONE.code()) return reply;
        reply.put("protocol_type", response.protocolType());
        reply.put("protocol", response.protocolName());
        reply.put("assignment", Json.hex(response.assignment()));
        return reply;
    }

    static ObjectNode heartbeat(HeartbeatResponseData response) {
        return reply("heartbeat", response.errorCode());
    }

    static ObjectNode leave(LeaveGroupResponseData response) {
        ObjectNode reply = reply("leave", response.errorCode());
        ArrayNode members = reply.putArray("members");
        response.members().forEach(member -> members.addArray()
            .add(member.memberId()).add(member.groupInstanceId()).add(name(member.errorCode())));
        return reply;
    }

    static ObjectNode commit(OffsetCommitResponseData response) {
        ObjectNode reply = reply("commit", Errors.NONE.code());
        ArrayNode topics = reply.putArray("topics");
        response.topics().forEach(topic -> {
            ArrayNode partitions = topics.addArray().add(topic.name()).addArray();
            topic.partitions().forEach(partition -> partitions.addArray()
                .add(partition.partitionIndex()).add(name(partition.errorCode())));
        });
        return reply;
    }

    static ObjectNode fetch(OffsetFetchResponseData.OffsetFetchResponseGroup response) {
        ObjectNode reply = reply("fetch", response.errorCode());
        ArrayNode topics = reply.putArray("topics");
        response.topics().stream()
            .sorted(Comparator.comparing(OffsetFetchResponseData.OffsetFetchResponseTopics::name))
            .forEach(topic -> {
                ArrayNode partitions = topics.addArray().add(topic.name()).addArray();
                topic.partitions().stream()
                    .sorted(Comparator.comparingInt(
                        OffsetFetchResponseData.OffsetFetchResponsePartitions::partitionIndex))
                    .forEach(partition -> partitions.addArray()
                        .add(partition.partitionIndex())
                        .add(partition.committedOffset())
                        .add(partition.committedLeaderEpoch())
                        .add(partition.metadata())
                        .add(name(partition.errorCode())));
            });
        return reply;
    }

    static ObjectNode offsetDelete(OffsetDeleteResponseData response) {
        ObjectNode reply = reply("offset_delete", response.errorCode());
        ArrayNode topics = reply.putArray("topics");
        response.topics().forEach(topic -> {
            ArrayNode partitions = topics.addArray().add(topic.name()).addArray();
            topic.partitions().forEach(partition -> partitions.addArray()
                .add(partition.partitionIndex()).add(name(partition.errorCode())));
        });
        return reply;
    }

    static ObjectNode deleteGroups(JsonNode op, DeleteGroupsResponseData.DeletableGroupResultCollection response) {
        ObjectNode reply = reply("delete_groups", Errors.NONE.code());
        ArrayNode groups = reply.putArray("groups");
        // Kafka's answer has an order of its own: that of a hash set of the ids.
        for (String group : new LinkedHashSet<>(Requests.texts(op.get("groups")))) {
            response.findAll(group).forEach(result -> groups.addArray().add(group).add(name(result.errorCode())));
        }
        return reply;
    }

    static ObjectNode describe(Iterable<DescribeGroupsResponseData.DescribedGroup> response) {
        ObjectNode reply = reply("describe", Errors.NONE.code());
        ArrayNode groups = reply.putArray("groups");
        response.forEach(group -> {
            ObjectNode described = groups.addObject();
            described.put("group", group.groupId());
            described.put("error", name(group.errorCode()));
            described.put("state", group.groupState());
            described.put("protocol_type", group.protocolType());
            described.put("protocol", group.protocolData());
            ArrayNode members = described.putArray("members");
            group.members().stream()
                .sorted(Comparator.comparing(DescribeGroupsResponseData.DescribedGroupMember::memberId))
                .forEach(member -> members.addArray()
                    .add(member.memberId()).add(member.groupInstanceId())
                    .add(member.clientId()).add(member.clientHost())
                    .add(Json.hex(member.memberMetadata())).add(Json.hex(member.memberAssignment())));
        });
        return reply;
    }

    static ObjectNode list(ListGroupsResponseData response) {
        ObjectNode reply = reply("list", response.errorCode());
        ArrayNode groups = reply.putArray("groups");
        response.groups().stream()
            .sorted(Comparator.comparing(ListGroupsResponseData.ListedGroup::groupId))
            .forEach(group -> groups.addArray()
                .add(group.groupId()).add(group.protocolType()).add(group.groupState()).add(group.groupType()));
        return reply;
    }

    private static ObjectNode reply(String kind, short error) {
        return Json.object().put("kind", kind).put("error", name(error));
    }

    private static String name(short error) {
        return Errors.forCode(error).name();
    }
}
