//! The handles of consumer groups: [`GroupConsumer`], a member that reads what its group assigns to it, and
//! [`GroupAdmin`], which looks at groups and removes them.

mod admin;
mod clients;
mod commits;
mod config;
mod consumer;
mod error;
mod heartbeats;
mod leader;
mod leaving;
mod link;
mod membership;
mod offsets;
mod partitions;
#[cfg(test)]
mod tests;
mod topics;

pub use admin::{GroupAdmin, GroupList};
pub use clients::GroupClients;
pub use config::{AutoOffsetReset, GroupConsumerConfig, Subscribe, default_group_id};
pub use consumer::{GroupConsumer, GroupEvent};
pub use error::GroupsError;
pub(crate) use heartbeats::Heartbeats;
pub use offsets::Commit;
pub use partitions::GroupRecords;
