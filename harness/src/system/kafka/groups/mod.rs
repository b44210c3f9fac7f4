//! Members of consumer groups, by librdkafka's consumer of Kafka's classic protocol.

mod account;
mod ending;
mod member;
pub(super) mod removal;
mod session;

pub(super) use ending::Endings;
pub(super) use member::{KafkaMember, MemberPlan};
