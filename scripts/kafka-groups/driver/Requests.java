package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.LeaveGroupRequestData;
import org.apache.kafka.common.message.ListGroupsRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetDeleteRequestData;
import org.apache.kafka.common.message.OffsetFetchRequestData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.network.ClientInformation;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.requests.RequestContext;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Function;

/** Makes Kafka's requests of the steps of a history. */
final class Requests {
    private static final HexFormat HEX = HexFormat.of();

    private Requests() { }

    static RequestContext context(ApiKeys key, JsonNode op) {
        // The version decides about rules of the coordinator only; the request does not pass through the bytes of that version.
        RequestHeader header = new RequestHeader(key, (short) op.get("api").asInt(), op.get("client").asText(), 0);
        return new RequestContext(header, "1", address(op.get("host").asText()), KafkaPrincipal.ANONYMOUS,
            ListenerName.forSecurityProtocol(SecurityProtocol.PLAINTEXT), SecurityProtocol.PLAINTEXT,
            ClientInformation.EMPTY, false);
    }

    /** Returns the context of a request that the sender of another one sends, in the latest version. */
    static RequestContext context(ApiKeys key, RequestContext other) {
        RequestHeader header = new RequestHeader(key, key.latestVersion(), other.clientId(), 0);
        return new RequestContext(header, other.connectionId, other.clientAddress, other.principal, other.listenerName,
            other.securityProtocol, other.clientInformation, false);
    }

    private static InetAddress address(String host) {
        try {
            return InetAddress.getByName(host.startsWith("/") ? host.substring(1) : host);
        } catch (UnknownHostException e) {
            throw new IllegalArgumentException(host + " is not an address", e);
        }
    }

    static JoinGroupRequestData join(JsonNode op) {
        var protocols = new JoinGroupRequestData.JoinGroupRequestProtocolCollection();
        for (JsonNode protocol : op.get("protocols")) {
            protocols.add(new JoinGroupRequestData.JoinGroupRequestProtocol()
                .setName(protocol.get(0).asText())
                .setMetadata(bytes(protocol.get(1))));
        }
        return new JoinGroupRequestData()
            .setGroupId(op.get("group").asText())
            .setMemberId(op.get("member").asText())
            .setGroupInstanceId(textOrNull(op.get("instance")))
            .setProtocolType(op.get("protocol_type").asText())
            .setProtocols(protocols)
            .setSessionTimeoutMs(op.get("session_ms").asInt())
            .setRebalanceTimeoutMs(op.get("rebalance_ms").asInt());
    }

    /** Leaves the first protocol of each name in the request. */
    static void keepFirstOfEachName(JoinGroupRequestData request) {
        var kept = new JoinGroupRequestData.JoinGroupRequestProtocolCollection();
        for (JoinGroupRequestData.JoinGroupRequestProtocol protocol : request.protocols()) {
            if (kept.find(protocol.name()) == null) kept.add(protocol.duplicate());
        }
        request.setProtocols(kept);
    }

    static SyncGroupRequestData sync(JsonNode op) {
        return new SyncGroupRequestData()
            .setGroupId(op.get("group").asText())
            .setGenerationId(op.get("generation").asInt())
            .setMemberId(op.get("member").asText())
            .setGroupInstanceId(textOrNull(op.get("instance")))
            .setProtocolType(textOrNull(op.get("protocol_type")))
            .setProtocolName(textOrNull(op.get("protocol")))
            .setAssignments(list(op.get("assignments"), assignment ->
                new SyncGroupRequestData.SyncGroupRequestAssignment()
                    .setMemberId(assignment.get(0).asText())
                    .setAssignment(bytes(assignment.get(1)))));
    }

    static HeartbeatRequestData heartbeat(JsonNode op) {
        return new HeartbeatRequestData()
            .setGroupId(op.get("group").asText())
            .setGenerationId(op.get("generation").asInt())
            .setMemberId(op.get("member").asText())
            .setGroupInstanceId(textOrNull(op.get("instance")));
    }

    static LeaveGroupRequestData leave(JsonNode op) {
        return new LeaveGroupRequestData()
            .setGroupId(op.get("group").asText())
            .setMembers(list(op.get("members"), member ->
                new LeaveGroupRequestData.MemberIdentity()
                    .setMemberId(member.get(0).asText())
                    .setGroupInstanceId(textOrNull(member.get(1)))));
    }

    /** Returns a request with which the member of another one leaves. */
    static LeaveGroupRequestData leave(JoinGroupRequestData other) {
        return new LeaveGroupRequestData()
            .setGroupId(other.groupId())
            .setMembers(List.of(new LeaveGroupRequestData.MemberIdentity().setMemberId(other.memberId())));
    }

    static OffsetCommitRequestData commit(JsonNode op) {
        return new OffsetCommitRequestData()
            .setGroupId(op.get("group").asText())
            .setGenerationIdOrMemberEpoch(op.get("generation").asInt())
            .setMemberId(op.get("member").asText())
            .setGroupInstanceId(textOrNull(op.get("instance")))
            .setRetentionTimeMs(op.get("retention_ms").asLong())
            .setTopics(list(op.get("topics"), topic ->
                new OffsetCommitRequestData.OffsetCommitRequestTopic()
                    .setName(topic.get(0).asText())
                    .setPartitions(list(topic.get(1), partition ->
                        new OffsetCommitRequestData.OffsetCommitRequestPartition()
                            .setPartitionIndex(partition.get(0).asInt())
                            .setCommittedOffset(partition.get(1).asLong())
                            .setCommittedLeaderEpoch(partition.get(2).asInt())
                            .setCommittedMetadata(textOrNull(partition.get(3)))))));
    }

    static OffsetFetchRequestData.OffsetFetchRequestGroup fetch(JsonNode op) {
        JsonNode topics = op.get("topics");
        return new OffsetFetchRequestData.OffsetFetchRequestGroup()
            .setGroupId(op.get("group").asText())
            .setTopics(isNull(topics) ? null : list(topics, topic ->
                new OffsetFetchRequestData.OffsetFetchRequestTopics()
                    .setName(topic.get(0).asText())
                    .setPartitionIndexes(list(topic.get(1), JsonNode::asInt))));
    }

    static OffsetDeleteRequestData offsetDelete(JsonNode op) {
        var topics = new OffsetDeleteRequestData.OffsetDeleteRequestTopicCollection();
        for (JsonNode topic : op.get("topics")) {
            topics.add(new OffsetDeleteRequestData.OffsetDeleteRequestTopic()
                .setName(topic.get(0).asText())
                .setPartitions(list(topic.get(1), partition ->
                    new OffsetDeleteRequestData.OffsetDeleteRequestPartition().setPartitionIndex(partition.asInt()))));
        }
        return new OffsetDeleteRequestData().setGroupId(op.get("group").asText()).setTopics(topics);
    }

    static ListGroupsRequestData listGroups(JsonNode op) {
        return new ListGroupsRequestData()
            .setStatesFilter(texts(op.get("states")))
            .setTypesFilter(texts(op.get("types")));
    }

    static List<String> texts(JsonNode array) {
        return list(array, JsonNode::asText);
    }

    private static <T> List<T> list(JsonNode array, Function<JsonNode, T> element) {
        List<T> list = new ArrayList<>();
        if (!isNull(array)) array.forEach(node -> list.add(element.apply(node)));
        return list;
    }

    private static byte[] bytes(JsonNode hex) {
        return HEX.parseHex(hex.asText());
    }

    private static String textOrNull(JsonNode node) {
        return isNull(node) ? null : node.asText();
    }

    private static boolean isNull(JsonNode node) {
        return node == null || node.isNull();
    }
}
