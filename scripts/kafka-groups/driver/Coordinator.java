package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.MockTime;
import org.apache.kafka.coordinator.common.runtime.CoordinatorExecutor;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorResult;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRuntime;
import org.apache.kafka.coordinator.group.classic.ClassicGroup;
import org.apache.kafka.coordinator.group.metrics.GroupCoordinatorMetrics;
import org.apache.kafka.coordinator.group.metrics.GroupCoordinatorMetricsShard;
import org.apache.kafka.server.share.persister.Persister;
import org.apache.kafka.server.util.PartitionMetadataClient;
import org.apache.kafka.server.util.timer.Timer;
import org.apache.kafka.timeline.SnapshotRegistry;
import org.mockito.invocation.InvocationOnMock;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;

import static org.mockito.Mockito.mock;
import static org.mockito.Mockito.withSettings;

/**
 * Kafka's group coordinator (service and shard) over a log in memory.
 *
 * <p>Kafka's own runtime needs threads, a real timer and replicas. This class does what it does with a write: the records of an
 * operation are appended, replayed where the operation asks for it, and then its futures complete. The history says how appends
 * end.
 */
final class Coordinator {
    private static final HexFormat HEX = HexFormat.of();
    private static final long NO_PRODUCER = -1;
    private static final short NO_EPOCH = -1;

    private static final GroupCoordinatorMetricsShard SHARD_METRICS =
        mock(GroupCoordinatorMetricsShard.class, withSettings().stubOnly());
    private static final GroupCoordinatorMetrics METRICS = mock(GroupCoordinatorMetrics.class, withSettings().stubOnly()
        .defaultAnswer(call -> call.getMethod().getName().equals("newMetricsShard") ? SHARD_METRICS : null));
    /** Background work of other kinds of groups. */
    @SuppressWarnings("unchecked")
    private static final CoordinatorExecutor<CoordinatorRecord> EXECUTOR =
        mock(CoordinatorExecutor.class, withSettings().stubOnly());
    /** Parts of the service that only share groups use. */
    private static final Persister NO_PERSISTER = null;
    private static final Timer NO_TIMER = null;
    private static final PartitionMetadataClient NO_PARTITION_METADATA = null;

    /** A record as bytes, in hex. */
    record Stored(String key, String value) { }

    /** An append that is open until the history completes it. */
    private record OpenAppend(
        List<Stored> records, CoordinatorResult<?, CoordinatorRecord> result, CompletableFuture<Object> future
    ) { }

    private final MockTime time;
    private final Timers timers;
    private final Config config;
    private final GroupConfigManager groupConfigs;
    private final GroupCoordinatorRecordSerde serde = new GroupCoordinatorRecordSerde();
    private final List<Stored> log = new ArrayList<>();
    private final List<OpenAppend> open = new ArrayList<>();
    private final GroupCoordinatorService service;
    private final Set<String> waitForNobody = new TreeSet<>();
    private SnapshotRegistry snapshots;
    private GroupCoordinatorShard shard;
    private long nextOffset;
    private String appendOutcome = "ok";

    Coordinator(JsonNode config) {
        time = new MockTime(0, config.get("start_ms").asLong(), 0);
        timers = new Timers(time);
        this.config = new Config(config);
        groupConfigs = this.config.groupConfigs();
        service = service();
        service.startup(() -> 1);
        load();
    }

    GroupCoordinatorService requests() {
        return service;
    }

    GroupMetadataManager groups() {
        return Fields.read(shard, "groupMetadataManager");
    }

    OffsetMetadataManager offsets() {
        return Fields.read(shard, "offsetMetadataManager");
    }

    long nowMs() {
        return time.milliseconds();
    }

    /** Returns a group, or null if there is none. */
    ClassicGroup group(String id) {
        Map<String, Group> byId = Fields.read(groups(), "groups");
        return (ClassicGroup) byId.get(id);
    }

    /** Returns the number of records in the log. */
    int logSize() {
        return log.size();
    }

    /** Returns the records from {@code index} on. */
    List<Stored> logFrom(int index) {
        return log.subList(index, log.size());
    }

    /** Sets how appends end from now on: {@code ok}, {@code defer}, or the name of an error. */
    void setAppendOutcome(String outcome) {
        appendOutcome = outcome;
    }

    void advance(long ms) {
        time.setCurrentTimeMs(time.milliseconds() + ms);
        timers.fireDue(timeout -> {
            write(shard -> timeout.generateRecords());
            noteGroupsThatWaitForNobody();
        });
    }

    /** Takes note of the groups whose members have no rebalance timeout. */
    private void noteGroupsThatWaitForNobody() {
        Map<String, Group> byId = Fields.read(groups(), "groups");
        byId.forEach((id, group) -> {
            if (group.numMembers() > 0 && ((ClassicGroup) group).rebalanceTimeoutMs() == 0) waitForNobody.add(id);
        });
    }

    /** Returns the groups whose members have no rebalance timeout, or had none at some time since the last call. */
    List<String> takeGroupsThatWaitForNobody() {
        noteGroupsThatWaitForNobody();
        List<String> taken = List.copyOf(waitForNobody);
        waitForNobody.clear();
        return taken;
    }

    void cleanup() {
        write(GroupCoordinatorShard::cleanupGroupMetadata);
    }

    /** Completes all open appends, the oldest first. */
    void completeOpenAppends(String outcome) {
        List<OpenAppend> completed = new ArrayList<>(open);
        open.clear();
        for (OpenAppend append : completed) {
            if (outcome.equals("ok")) {
                log.addAll(append.records);
                complete(append.result, append.future);
            } else {
                fail(append.result, append.future, Errors.valueOf(outcome).exception());
            }
        }
    }

    /** Unloads the coordinator, and loads a new one from the log. */
    void restart() {
        timers.cancelAll();
        completeOpenAppends(Errors.NOT_COORDINATOR.name());
        shard.onUnloaded();
        load();
    }

    private void load() {
        timers.cancelAll();
        snapshots = new SnapshotRegistry(new LogContext());
        shard = new GroupCoordinatorShard.Builder(config, groupConfigs)
            .withAuthorizerPlugin(Optional.empty())
            .withLogContext(new LogContext())
            .withSnapshotRegistry(snapshots)
            .withTime(time)
            .withTimer(timers)
            .withCoordinatorMetrics(METRICS)
            .withExecutor(EXECUTOR)
            .withTopicPartition(new TopicPartition("__consumer_offsets", 0))
            .build();
        nextOffset = 0;
        log.forEach(this::replay);
        commit();
        shard.onLoaded(CoordinatorMetadataImage.EMPTY);
    }

    /** Returns Kafka's service over this class as its runtime. */
    @SuppressWarnings("unchecked")
    private GroupCoordinatorService service() {
        CoordinatorRuntime<GroupCoordinatorShard, CoordinatorRecord> runtime =
            mock(CoordinatorRuntime.class, withSettings().stubOnly().defaultAnswer(this::runtimeCall));
        return new GroupCoordinatorService(
            new LogContext(), config, runtime, METRICS, groupConfigs, NO_PERSISTER, NO_TIMER, NO_PARTITION_METADATA);
    }

    @SuppressWarnings("unchecked")
    private Object runtimeCall(InvocationOnMock call) {
        Object operation = call.getArguments().length == 0 ? null : call.getArguments()[call.getArguments().length - 1];
        return switch (call.getMethod().getName()) {
            case "scheduleWriteOperation" -> write(
                (CoordinatorRuntime.CoordinatorWriteOperation<GroupCoordinatorShard, Object, CoordinatorRecord>) operation);
            case "scheduleReadOperation" -> read(
                (CoordinatorRuntime.CoordinatorReadOperation<GroupCoordinatorShard, Object>) operation);
            case "scheduleReadAllOperation" -> List.of(read(
                (CoordinatorRuntime.CoordinatorReadOperation<GroupCoordinatorShard, Object>) operation));
            default -> throw new IllegalStateException("the runtime has no " + call.getMethod());
        };
    }

    private CompletableFuture<Object> read(CoordinatorRuntime.CoordinatorReadOperation<GroupCoordinatorShard, Object> operation) {
        try {
            return CompletableFuture.completedFuture(operation.generateResponse(shard, nextOffset));
        } catch (Exception e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private <T> CompletableFuture<Object> write(
        CoordinatorRuntime.CoordinatorWriteOperation<GroupCoordinatorShard, T, CoordinatorRecord> operation
    ) {
        CompletableFuture<Object> future = new CompletableFuture<>();
        CoordinatorResult<T, CoordinatorRecord> result;
        try {
            result = operation.generateRecordsAndResult(shard);
        } catch (Exception e) {
            future.completeExceptionally(e);
            return future;
        }
        List<Stored> records = result.records().stream().map(this::store).toList();
        if (records.isEmpty()) {
            // Reads see the state as of the last write of any group. Here such a write follows each operation.
            nextOffset += 1;
            commit();
            complete(result, future);
        } else if (appendOutcome.equals("defer")) {
            open.add(new OpenAppend(records, result, future));
        } else {
            append(records, result, future);
        }
        return future;
    }

    /** Replays records and appends them, in this order, as Kafka does. A failed append takes the replayed state back. */
    private void append(
        List<Stored> records, CoordinatorResult<?, CoordinatorRecord> result, CompletableFuture<Object> future
    ) {
        long offset = nextOffset;
        for (CoordinatorRecord record : result.records()) {
            if (result.replayRecords()) shard.replay(offset, NO_PRODUCER, NO_EPOCH, record);
            offset += 1;
        }
        if (appendOutcome.equals("ok")) {
            log.addAll(records);
            nextOffset = offset;
            commit();
            complete(result, future);
        } else {
            snapshots.revertToSnapshot(nextOffset);
            fail(result, future, Errors.valueOf(appendOutcome).exception());
        }
    }

    private static void complete(CoordinatorResult<?, CoordinatorRecord> result, CompletableFuture<Object> future) {
        if (result.appendFuture() != null) result.appendFuture().complete(null);
        future.complete(result.response());
    }

    private static void fail(
        CoordinatorResult<?, CoordinatorRecord> result, CompletableFuture<Object> future, Exception error
    ) {
        if (result.appendFuture() != null) result.appendFuture().completeExceptionally(error);
        future.completeExceptionally(error);
    }

    /** Makes the present state the one that a failed write returns to. */
    private void commit() {
        snapshots.idempotentCreateSnapshot(nextOffset);
        snapshots.deleteSnapshotsUpTo(nextOffset);
    }

    private Stored store(CoordinatorRecord record) {
        byte[] value = serde.serializeValue(record);
        return new Stored(HEX.formatHex(serde.serializeKey(record)), value == null ? null : HEX.formatHex(value));
    }

    private void replay(Stored stored) {
        ByteBuffer value = stored.value == null ? null : ByteBuffer.wrap(HEX.parseHex(stored.value));
        CoordinatorRecord record = serde.deserialize(ByteBuffer.wrap(HEX.parseHex(stored.key)), value);
        shard.replay(nextOffset, NO_PRODUCER, NO_EPOCH, record);
        nextOffset += 1;
    }
}
