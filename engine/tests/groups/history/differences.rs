//! Input on which we differ from Kafka on purpose. Few of the histories that are compared with Kafka have such input.

use super::Kind;
use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use vnotch_engine::group::{GroupConfig, Protocol};

/// A kind of input on which we differ from Kafka on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownDifference {
    /// Clients send a request again while it is parked, or leave meanwhile. Kafka forgets the parked one.
    RequestAgain,
    /// A client joins as a static member under an id that was handed out to a dynamic one. Kafka throws.
    StaticPendingId,
    /// Members have more bytes than their group takes. Kafka has no such bound.
    FewBytes,
    /// Members name a protocol twice, and Kafka gets it twice. Its group then often has no protocol that all support. In all
    /// histories some members name one twice. In the others Kafka gets the first of each name alone.
    ProtocolTwice,
    /// Members have a rebalance timeout of 0 or less. Kafka then waits for nobody.
    NoRebalanceTimeout,
}

impl KnownDifference {
    /// Returns the known differences to which the history of a seed may lead.
    pub(crate) const fn of(seed: u64, kind: Kind) -> &'static [Self] {
        match (kind, seed % 200) {
            (Kind::Hostile, 0..20) => &[Self::RequestAgain, Self::FewBytes],
            (Kind::Hostile, 20..40) => &[Self::RequestAgain, Self::NoRebalanceTimeout],
            (Kind::Hostile, _) => &[Self::RequestAgain, Self::StaticPendingId],
            (Kind::Comparable, 0 | 100) => &[Self::RequestAgain, Self::StaticPendingId],
            (Kind::Comparable, 25) => &[Self::FewBytes],
            (Kind::Comparable, 75) => &[Self::ProtocolTwice],
            (Kind::Comparable, 125) => &[Self::NoRebalanceTimeout],
            (Kind::Comparable, _) => &[],
        }
    }
}

/// Sets bounds of bytes that two to five members reach.
pub(crate) fn bound_bytes(config: &mut GroupConfig, random: &mut SmallRng) {
    config.group_members_bytes_max = random.random_range(250..600);
    config.group_metadata_bytes_max = random.random_range(100..500);
}

/// Names one of the protocols again behind its first place, with other metadata.
pub(crate) fn name_again(protocols: &mut Vec<Protocol>, random: &mut SmallRng) {
    let first = random.random_range(0..protocols.len());
    let again = Protocol { name: protocols[first].name.clone(), metadata: Bytes::from_static(b"again") };
    protocols.insert(random.random_range(first + 1..=protocols.len()), again);
}

/// Returns a rebalance timeout, ms. If `may_be_none`, some are 0 or less.
pub(crate) fn rebalance_timeout_ms(may_be_none: bool, random: &mut SmallRng) -> i32 {
    let is_none = may_be_none && random.random_range(0..4) == 0;
    let choices: &[i32] = if is_none { &[0, 0, -1, -1_000, i32::MIN] } else { &[2_000, 4_000, 9_000] };
    *choices.choose(random).unwrap()
}
