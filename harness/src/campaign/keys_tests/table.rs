//! The tables of keys: two values of each key and the part of a run that they change, or why other values are refused.

/// A key with two values.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) key: &'static str,
    /// `--set` arguments beside the key.
    pub(super) with: &'static [&'static str],
    /// The two values. After `set `, a whole `--set` argument takes the place of the key.
    pub(super) values: [&'static str; 2],
    /// The part of the run that changes.
    pub(super) part: Part,
    /// How the fake system behaves.
    pub(super) world: World,
}

/// A part of what a run asks for, or of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The configuration of the engine and of its topics.
    Config,
    Topics,
    /// The settings of producers and consumers.
    Clients,
    /// The records, with their keys, values and intended times.
    Records,
    /// The number of records.
    Count,
    /// Whether there is more than one batch.
    Batching,
    /// The cores of the threads that send.
    LoadCores,
    /// The threads that send.
    LoadThreads,
    /// Whether the system was kept open by a long drain.
    KeptOpen,
    /// The calls of the system's inside.
    Calls,
    /// The number of trials.
    Trials,
    /// The requests to the device.
    Device,
    /// Name and question of the result.
    Label,
    /// The status of the verdict.
    Status,
    /// Whether records were checked.
    Checked,
    /// The memory that was warmed before each trial.
    Warmed,
    /// Whether groups rebalanced in each trial.
    Rebalanced,
}

/// The behaviour of the fake system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    /// Acks come at once, and retention deletes.
    Acks,
    /// No ack ever comes, so the number of records is what may be in flight.
    NeverAcks,
    /// The generator is held up in each trial.
    LateGenerator,
    /// Every append fails.
    Fails,
    /// Consumers see no records.
    HidesRecords,
    /// Retention deletes nothing.
    RetainsAll,
}

const fn row(key: &'static str, values: [&'static str; 2], part: Part) -> Row {
    Row { key, with: &[], values, part, world: World::Acks }
}

impl Row {
    const fn with(self, with: &'static [&'static str]) -> Self {
        Self { with, ..self }
    }

    const fn in_world(self, world: World) -> Self {
        Self { world, ..self }
    }
}

/// Refusal of settings of a system that is not measured.
const NOT_MEASURED: &str = "no point of this workload measures a system with these settings";
const CLOSED: &[&str] = &["load={mode: closed}", "phases.drain=100ms", "phases.measure=1s"];
const MAX: &[&str] = &["load={mode: max}", "phases.drain=100ms", "phases.measure=1s"];
const RAMP: &[&str] = &["load={mode: open, rate: 1k/s, profile: ramp}"];
const STEP: &[&str] = &["load={mode: open, rate: 1k/s, profile: step}"];
const SINE: &[&str] = &["load={mode: open, rate: 1k/s, profile: sine, sine: {period: 100ms}}"];
const BURST: &[&str] =
    &["load={mode: open, rate: 1k/s, profile: burst, burst: {every: 100ms, length: 20ms}}"];
/// All records of a window fit one batch, which waits for them.
const ONE_BATCH: &[&str] =
    &["batch.linger=10s", "batch.max_records=5000", "message_size=24B", "partitions_per_topic=2"];
const WITH_CONSUMERS: &[&str] = &["subscriptions_per_topic=1", "partitions_per_topic=2"];
const FIXED: &[&str] = &["subscriptions_per_topic=1", "partitions_per_topic=2", "consume.assignment=fixed"];
const MEMBERS: &[&str] = &[
    "subscriptions_per_topic=1",
    "partitions_per_topic=2",
    "consumers_per_subscription=2",
    "consume.assignment=group",
];
const BACKLOG: &[&str] =
    &["subscriptions_per_topic=1", "load={mode: max, in_flight_bytes: 64KiB}", "backlog={build: 64KiB}"];
const WITH_CEILING: &[&str] = &["ceiling=auto"];

/// The keys that choose what the answer of a result says. They ask nothing of a system; `tests/report/answers.rs` shows their effect.
pub(super) const OF_THE_ANSWER: [&str; 2] = ["answer", "metric"];

/// The keys that are accepted with more than one value.
pub(super) const ROWS: &[Row] = &[
    row("name", ["one", "other"], Part::Label),
    row("question", ["why?", "how?"], Part::Label),
    row("trials", ["2", "3"], Part::Trials),
    row("late_retries", ["0", "1"], Part::Trials)
        .with(&["load.rate=10k/s", "phases.measure=400ms"])
        .in_world(World::LateGenerator),
    row("on_error", ["count", "end"], Part::Trials).in_world(World::Fails),
    row("phases.warmup", ["0", "100ms"], Part::Count),
    row("phases.measure", ["200ms", "300ms"], Part::Count),
    row("phases.drain", ["50ms", "2s"], Part::KeptOpen).in_world(World::NeverAcks),
    row("sweep", ["{}", "{batch.max_records: [1, 2]}"], Part::Trials),
    row("ceiling", ["off", "auto"], Part::Device),
    row("warm_memory", ["off", "1MiB"], Part::Warmed),
    row("topics", ["1", "2"], Part::Topics),
    row("partitions_per_topic", ["1", "2"], Part::Topics),
    row("partitions_per_topic", ["1", "2"], Part::Device).with(WITH_CEILING),
    row("producers_per_topic", ["1", "2"], Part::Clients),
    row("subscriptions_per_topic", ["0", "1"], Part::Clients),
    row("consumers_per_subscription", ["1", "2"], Part::Clients).with(WITH_CONSUMERS),
    row("group", ["a-{topic}-{service}", "b-{topic}-{service}"], Part::Clients).with(WITH_CONSUMERS),
    row("group", ["a-{topic}-{service}", "b-{topic}-{service}"], Part::Clients).with(MEMBERS),
    row("consume.assignment", ["fixed", "group"], Part::Clients).with(WITH_CONSUMERS),
    row("consume.assignor", ["range", "cooperative-sticky"], Part::Clients).with(MEMBERS),
    row("consume.heartbeat_interval", ["1s", "3s"], Part::Clients).with(MEMBERS),
    row("consume.commit.mode", ["auto", "none"], Part::Clients).with(MEMBERS),
    row("consume.commit.every", ["1s", "2s"], Part::Clients).with(MEMBERS),
    row("consume.churn.every", ["20ms", "1h"], Part::Rebalanced).with(MEMBERS),
    row("message_size", ["100B", "200B"], Part::Records),
    row("message_size", ["10B", "12B"], Part::Records).with(&["verify=none"]),
    row(
        "payload.kind",
        ["set payload={kind: random}", "set payload={kind: file, path: DIR/a.txt}"],
        Part::Records,
    ),
    row(
        "payload.path",
        ["set payload={kind: file, path: DIR/a.txt}", "set payload={kind: file, path: DIR/b.txt}"],
        Part::Records,
    ),
    row("payload.seed", ["1", "2"], Part::Records),
    row("payload.compressibility", ["0.1", "0.5"], Part::Records),
    row("payload.pool", ["10", "20"], Part::Records),
    row("key_distribution", ["none", "round_robin"], Part::Records).with(ONE_BATCH),
    row("key_distribution", ["round_robin", "uniform"], Part::Records).with(&["partitions_per_topic=2"]),
    row("batch.max_bytes", ["16KiB", "32KiB"], Part::Clients),
    row("batch.max_bytes", ["4KiB", "8KiB"], Part::Count).with(CLOSED).in_world(World::NeverAcks),
    row("batch.max_records", ["10", "20"], Part::Clients),
    row("batch.max_records", ["10", "20"], Part::Count).with(CLOSED).in_world(World::NeverAcks),
    row("batch.linger", ["0", "10s"], Part::Batching).with(&[
        "batch.max_records=5000",
        "message_size=24B",
        "phases.measure=1s",
    ]),
    row("load.mode", ["set load={mode: open, rate: 1k/s}", "set load={mode: closed}"], Part::Count)
        .with(&["phases.drain=100ms", "phases.measure=1s"])
        .in_world(World::NeverAcks),
    row("load.in_flight_bytes", ["64KiB", "128KiB"], Part::Count).with(MAX).in_world(World::NeverAcks),
    row("load.in_flight", ["1", "3"], Part::Count).with(CLOSED).in_world(World::NeverAcks),
    row("load.rate", ["1k/s", "2k/s"], Part::Count),
    row("load.arrival", ["constant", "poisson"], Part::Records),
    row("load.profile", ["constant", "ramp"], Part::Records),
    row("load.ramp.from", ["0.2", "0.6"], Part::Records).with(RAMP),
    row("load.ramp.to", ["1.2", "1.6"], Part::Records).with(RAMP),
    row("load.step.from", ["0.2", "0.6"], Part::Records).with(STEP),
    row("load.step.to", ["1.2", "1.6"], Part::Records).with(STEP),
    row("load.step.stairs", ["2", "4"], Part::Records).with(STEP),
    row("load.sine.amplitude", ["0.2", "0.6"], Part::Records).with(SINE),
    row("load.sine.period", ["50ms", "100ms"], Part::Records).with(SINE),
    row("load.burst.factor", ["2", "4"], Part::Records).with(BURST),
    row("load.burst.every", ["50ms", "100ms"], Part::Records).with(BURST),
    row("load.burst.length", ["10ms", "20ms"], Part::Records).with(BURST),
    row("backlog.build", ["64KiB", "128KiB"], Part::Count).with(BACKLOG),
    row("backlog.cache", ["cold", "warm"], Part::Calls).with(BACKLOG),
    row("backlog.drain_producer_rate", ["0/s", "1k/s"], Part::Count)
        .with(BACKLOG)
        .in_world(World::HidesRecords),
    row("durability", ["written", "synced"], Part::Config),
    row("durability", ["written", "synced"], Part::Device).with(WITH_CEILING),
    row("engine.shards", ["1", "2"], Part::Config),
    row("engine.io", ["direct", "buffered"], Part::Config),
    row("engine.io", ["direct", "buffered"], Part::Device).with(WITH_CEILING),
    row("engine.poll", ["adaptive", "park"], Part::Config),
    row("engine.placement", ["remote", "colocated"], Part::Calls),
    row("engine.cores.shards", ["[CORE0]", "[CORE1]"], Part::Config),
    row("engine.cores.load", ["[CORE0]", "[CORE1]"], Part::LoadCores),
    row("engine.cores.load", ["[CORE0]", "[CORE0, CORE1]"], Part::LoadThreads)
        .with(&["producers_per_topic=2"]),
    row("engine.arena_bytes", ["256MiB", "128MiB"], Part::Config),
    row("engine.write_bytes_max", ["1MiB", "512KiB"], Part::Config),
    row("engine.write_depth", ["8", "4"], Part::Config),
    row("engine.fetch_pinned_bytes", ["64MiB", "32MiB"], Part::Config),
    row("log.segment_bytes", ["16MiB", "32MiB"], Part::Config),
    row("log.segment_ms", ["none", "1m"], Part::Config),
    row("log.retention_bytes", ["none", "1GiB"], Part::Config),
    row("log.retention_ms", ["none", "1h"], Part::Config),
    row("log.preallocate", ["auto", "none"], Part::Config),
    row("log.preallocate", ["auto", "none"], Part::Device).with(WITH_CEILING),
    row("log.index_interval_bytes", ["4KiB", "8KiB"], Part::Config),
    row("log.max_message_bytes", ["1MiB", "512KiB"], Part::Config),
    row("log.message_timestamp_after_max_ms", ["1h", "none"], Part::Config),
    row("verify", ["sequence", "sequence+crc"], Part::Records),
    row("verify", ["none", "sequence"], Part::Checked).with(WITH_CONSUMERS),
    row("slo.min_achieved", ["0.0", "0.99"], Part::Status)
        .with(&["phases.drain=100ms"])
        .in_world(World::NeverAcks),
    row("require", ["[]", "[retention_reached]"], Part::Status)
        .with(&["phases.warmup=50ms", "log.segment_bytes=1MiB", "log.retention_bytes=1MiB"])
        .in_world(World::RetainsAll),
];

/// Keys in a state in which they have no effect, and that state in words.
pub(super) const WITHOUT_EFFECT: &[(Row, &str)] = &[
    (
        row("consumers_per_subscription", ["1", "2"], Part::Clients).with(&["partitions_per_topic=2"]),
        "there are no consumers",
    ),
    (
        row("consume.assignor", ["cooperative-sticky", "range"], Part::Clients).with(FIXED),
        "consumers of fixed partitions are no members",
    ),
    (
        row("consume.heartbeat_interval", ["3s", "1s"], Part::Clients).with(FIXED),
        "consumers of fixed partitions send no heartbeats",
    ),
    (
        row("consume.commit.every", ["5s", "1s"], Part::Clients)
            .with(&["subscriptions_per_topic=1", "consume.commit.mode=none"]),
        "nothing is committed",
    ),
    (
        row("consume.churn.every", ["1h", "2h"], Part::Rebalanced).with(MEMBERS),
        "the window ends before a member leaves",
    ),
    (row("engine.fetch_pinned_bytes", ["64MiB", "32MiB"], Part::Clients), "there are no consumers"),
    (
        row("group", ["a-{topic}-{service}", "b-{topic}-{service}"], Part::Count).with(FIXED),
        "consumers of fixed partitions need no coordinator, so the ids only name them",
    ),
    (
        row("late_retries", ["0", "2"], Part::Trials).with(CLOSED).in_world(World::NeverAcks),
        "a closed load has no intended times",
    ),
    (row("late_retries", ["0", "2"], Part::Trials).with(BACKLOG), "a backlog has no intended times"),
    (
        row("payload.pool", ["1000", "2000"], Part::Records).with(&["message_size=512KiB", "load.rate=20/s"]),
        "a pool has 64 MiB at most",
    ),
    (
        row("batch.max_records", ["1000", "2000"], Part::Count)
            .with(&["load={mode: closed}", "phases.drain=100ms", "phases.measure=1s", "batch.max_bytes=4KiB"])
            .in_world(World::NeverAcks),
        "a batch reaches its bytes first",
    ),
    (
        row("batch.max_bytes", ["128KiB", "256KiB"], Part::Count)
            .with(&["load={mode: closed}", "phases.drain=100ms", "phases.measure=1s", "message_size=24B"])
            .in_world(World::NeverAcks),
        "a batch reaches its records first",
    ),
    (
        row("batch.max_bytes", ["512KiB", "1MiB"], Part::Count)
            .with(&[
                "load={mode: max, in_flight_bytes: 1MiB}",
                "producers_per_topic=4",
                "phases.drain=100ms",
                "phases.measure=1s",
                "batch.max_records=5000",
            ])
            .in_world(World::NeverAcks),
        "a producer's bytes in flight are fewer",
    ),
    (
        row("load.in_flight", ["1000", "2000"], Part::Count)
            .with(&["load={mode: closed, in_flight_bytes: 64KiB}", "phases.drain=100ms", "phases.measure=1s"])
            .in_world(World::NeverAcks),
        "the bytes in flight are used up first",
    ),
    (
        row("batch.linger", ["0", "10s"], Part::Count).with(CLOSED).in_world(World::NeverAcks),
        "a batch of a closed load fills at once",
    ),
    (
        row("batch.linger", ["0", "10s"], Part::Count).with(MAX).in_world(World::NeverAcks),
        "a batch fills at once at `max`",
    ),
    (row("phases.warmup", ["0", "100ms"], Part::Count).with(BACKLOG), "the backlog takes its place"),
    (
        row("backlog.cache", ["cold", "warm"], Part::Count).with(BACKLOG),
        "direct reads do not go through the page cache",
    ),
    // The fake has no segments, so these three show the notes of `check` alone.
    (row("log.segment_ms", ["1h", "2h"], Part::Records), "nothing gets as old"),
    (row("log.retention_ms", ["1h", "2h"], Part::Records), "nothing gets as old"),
    (row("log.segment_bytes", ["16MiB", "32MiB"], Part::Records), "no partition fills a segment"),
    (
        row("ceiling", ["off", "auto"], Part::Device).with(&["durability=appended"]),
        "an `appended` ack does not wait for the disk",
    ),
];

/// Rows of a workload that measures Kafka. The brokers are not warmed unless the row says so.
#[cfg(feature = "kafka")]
const KAFKA: &[&str] = &["target=kafka", "kafka.warm=0"];

/// The keys of Kafka, as a build with its client has them.
#[cfg(feature = "kafka")]
pub(super) const KAFKA_ROWS: &[Row] = &[
    row("kafka.properties", ["{socket.nagle.disable: true}", "{socket.nagle.disable: false}"], Part::Config)
        .with(KAFKA),
    row("kafka.load_threads", ["1", "2"], Part::LoadThreads).with(&[
        "target=kafka",
        "kafka.warm=0",
        "producers_per_topic=2",
    ]),
    row("kafka.replication", ["1", "3"], Part::Config).with(&[
        "target=kafka",
        "kafka.warm=0",
        "kafka.brokers=3",
    ]),
    row("kafka.min_insync_replicas", ["1", "2"], Part::Config).with(&[
        "target=kafka",
        "kafka.warm=0",
        "kafka.brokers=3",
        "kafka.replication=3",
    ]),
    row("kafka.version", ["4.3.1", "3.6.2"], Part::Config).with(KAFKA),
    row("kafka.brokers", ["1", "3"], Part::Config).with(KAFKA),
    row("kafka.heap", ["1GiB", "2GiB"], Part::Config).with(KAFKA),
    row("kafka.warm", ["0", "50ms"], Part::Trials).with(&["target=kafka"]),
    row("durability", ["written", "synced"], Part::Config).with(KAFKA),
    row("batch.max_bytes", ["16KiB", "32KiB"], Part::Config).with(KAFKA),
    row("batch.max_records", ["10", "20"], Part::Config).with(KAFKA),
    row("batch.linger", ["0", "5ms"], Part::Config).with(KAFKA),
    row("log.segment_bytes", ["16MiB", "32MiB"], Part::Config).with(KAFKA),
    row("log.segment_ms", ["none", "1m"], Part::Config).with(KAFKA),
    row("log.retention_bytes", ["none", "1GiB"], Part::Config).with(KAFKA),
    row("log.retention_ms", ["none", "1h"], Part::Config).with(KAFKA),
    row("log.preallocate", ["auto", "none"], Part::Config).with(KAFKA),
    row("log.index_interval_bytes", ["4KiB", "8KiB"], Part::Config).with(KAFKA),
    row("log.max_message_bytes", ["1MiB", "512KiB"], Part::Config).with(KAFKA),
    row("log.message_timestamp_after_max_ms", ["1h", "none"], Part::Config).with(KAFKA),
];

/// Keys of Kafka in a state in which they have no effect.
#[cfg(feature = "kafka")]
pub(super) const KAFKA_WITHOUT_EFFECT: &[Row] =
    &[row("log.retention_bytes", ["1GiB", "2GiB"], Part::Records).with(KAFKA)];

/// Keys with a value that is refused, the `--set` arguments for it, and a part of the message.
pub(super) const REFUSED: &[(&str, &[&str], &str)] = &[
    ("version", &["version=2"], "version"),
    ("target", &["target=device"], "the device as the target"),
    // Without a cluster they are refused. KAFKA_ROWS has their effects; that of `topic` is shown with real Kafka (tests/kafka).
    ("topic", &["topic=orders"], "names an existing topic of a Kafka cluster"),
    ("kafka.properties", &["kafka.properties={a.b: 1}"], NOT_MEASURED),
    ("kafka.load_threads", &["kafka.load_threads=2"], NOT_MEASURED),
    ("kafka.replication", &["kafka.replication=3"], NOT_MEASURED),
    ("kafka.min_insync_replicas", &["kafka.min_insync_replicas=2"], NOT_MEASURED),
    ("kafka.version", &["kafka.version=3.6.2"], NOT_MEASURED),
    ("kafka.brokers", &["kafka.brokers=3"], NOT_MEASURED),
    ("kafka.heap", &["kafka.heap=2GiB"], NOT_MEASURED),
    ("kafka.warm", &["kafka.warm=1m"], NOT_MEASURED),
    ("steady_state.metric", &["steady_state.metric=response_p99"], "steady_state"),
    ("steady_state.slope", &["steady_state.slope=0.1"], "steady_state"),
    ("steady_state.window", &["steady_state.window=5s"], "steady_state"),
    ("steady_state.timeout", &["steady_state.timeout=1m"], "steady_state"),
    ("payload.split", &["payload={kind: file, path: /dev/null, split: size}"], "split"),
    ("compression", &["compression=zstd"], "compression"),
];
