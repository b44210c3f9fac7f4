//! The limits and times of consumer groups. Names are Kafka's broker settings in snake_case, with units last.

/// Most bytes of a batch with the record of a group, without the group's members: four strings (the group's id and protocol
/// type, the protocol, the leader), and less than 1 KiB for the fields of fixed size and the headers of record and batch.
pub const RECORD_REST_BYTES: usize = 4 * (32 << 10) + (1 << 10);

/// The settings of all groups of one partition of `__consumer_offsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Most members of a group (Kafka: `group.max.size`).
    pub group_max_size: usize,
    /// Time that the first rebalance of an empty group waits for more members, ms (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay_ms: u64,
    /// Time for which a member that has just joined is kept without a heartbeat, ms. Kafka has 5 minutes, not configurable.
    pub new_member_join_timeout_ms: u64,
    /// Shortest session timeout that a member may ask for, ms (`group.min.session.timeout.ms`).
    pub min_session_timeout_ms: i32,
    /// Longest session timeout that a member may ask for, ms (`group.max.session.timeout.ms`).
    pub max_session_timeout_ms: i32,
    /// Longest metadata of a committed offset, in UTF-16 units as Kafka counts (`offset.metadata.max.bytes`).
    pub offset_metadata_max_chars: usize,
    /// Time after which unused offsets expire, ms (`offsets.retention.minutes`).
    pub offsets_retention_ms: i64,
    /// Most groups.
    pub groups_max: usize,
    /// Most ids of one group that were handed out with `MEMBER_ID_REQUIRED` and are not used yet.
    pub pending_members_max: usize,
    /// Most bytes of the protocols of one member: their names, their metadata, and 6 bytes for each.
    pub member_metadata_bytes_max: usize,
    /// Most bytes of the members of one group in its record, without their assignments. The record is one batch. Beside the members
    /// it holds up to [`assignments_bytes_max`](Self::assignments_bytes_max) bytes of assignments, and up to
    /// [`RECORD_REST_BYTES`] of other fields.
    pub group_members_bytes_max: usize,
    /// Most bytes of the protocols of all members of one group, counted as those of one member.
    pub group_metadata_bytes_max: usize,
    /// Most bytes of the assignments of one generation, over all members.
    pub assignments_bytes_max: usize,
}

impl Default for GroupConfig {
    /// Returns Kafka's defaults; bounds that Kafka does not have are wide.
    fn default() -> Self {
        Self {
            group_max_size: 10_000,
            initial_rebalance_delay_ms: 3_000,
            new_member_join_timeout_ms: 5 * 60 * 1_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 30 * 60 * 1_000,
            offset_metadata_max_chars: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            groups_max: 100_000,
            pending_members_max: 10_000,
            member_metadata_bytes_max: 256 << 10,
            group_members_bytes_max: 1_392 << 10,
            group_metadata_bytes_max: 8 << 20,
            assignments_bytes_max: 512 << 10,
        }
    }
}
