package org.apache.kafka.coordinator.group;

import org.apache.kafka.common.utils.Time;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorTimer;

import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** The timers of a coordinator. They fire in the order of deadlines, and timers of one deadline in the order of their keys. */
final class Timers implements CoordinatorTimer<CoordinatorRecord> {
    /** Timers of the coordinator's own housekeeping. Histories ask for a cleanup by a step, so these never fire. */
    private static final Set<String> IGNORED_KEYS =
        Set.of(GroupCoordinatorShard.GROUP_EXPIRATION_KEY, GroupCoordinatorShard.GROUP_SIZE_COUNTER_KEY);
    /** Most timers that fire at one time. Static members without a rebalance timeout set a timer for now again and again. */
    private static final int FIRED_MAX = 1000;

    private record Entry(String key, long deadlineMs, TimeoutOperation<CoordinatorRecord> operation) { }

    private final Time time;
    private final Map<String, Entry> entries = new HashMap<>();

    Timers(Time time) {
        this.time = time;
    }

    /** Hands the operations of all due timers to {@code run}, also of timers that become due meanwhile. */
    void fireDue(Consumer<TimeoutOperation<CoordinatorRecord>> run) {
        for (int fired = 0; fired < FIRED_MAX; fired++) {
            Entry due = earliest();
            if (due == null || due.deadlineMs > time.milliseconds()) return;
            entries.remove(due.key);
            run.accept(due.operation);
        }
    }

    private Entry earliest() {
        return entries.values().stream()
            .min(Comparator.comparingLong(Entry::deadlineMs).thenComparing(Entry::key))
            .orElse(null);
    }

    @Override
    public void schedule(
        String key, long delay, TimeUnit unit, boolean retry, TimeoutOperation<CoordinatorRecord> operation
    ) {
        if (IGNORED_KEYS.contains(key)) return;
        entries.put(key, new Entry(key, time.milliseconds() + unit.toMillis(delay), operation));
    }

    @Override
    public void schedule(
        String key, long delay, TimeUnit unit, boolean retry, long retryBackoff,
        TimeoutOperation<CoordinatorRecord> operation
    ) {
        schedule(key, delay, unit, retry, operation);
    }

    @Override
    public void scheduleIfAbsent(
        String key, long delay, TimeUnit unit, boolean retry, TimeoutOperation<CoordinatorRecord> operation
    ) {
        if (!entries.containsKey(key)) schedule(key, delay, unit, retry, operation);
    }

    @Override
    public void cancel(String key) {
        entries.remove(key);
    }

    @Override
    public boolean isScheduled(String key) {
        return entries.containsKey(key);
    }

    void cancelAll() {
        entries.clear();
    }
}
