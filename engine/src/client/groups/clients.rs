//! A handle that makes consumers in groups on any thread.

use super::config::{GroupConsumerConfig, Subscribe};
use super::consumer::GroupConsumer;
use super::error::GroupsError;
use super::heartbeats::Heartbeats;
use crate::client::RemoteDirectory;

/// Makes consumers that are members of groups. Clones make consumers of the same engine. After the engine is closed, their
/// consumers fail.
#[derive(Debug, Clone)]
pub struct GroupClients {
    directory: RemoteDirectory,
    heartbeats: Heartbeats,
}

impl GroupClients {
    pub(crate) const fn new(directory: RemoteDirectory, heartbeats: Heartbeats) -> Self {
        Self { directory, heartbeats }
    }

    /// Makes a consumer that is a member of a group. It joins at its first poll.
    ///
    /// # Errors
    /// [`GroupsError`]: the configuration cannot work, the group id is empty, or the engine is closed.
    pub fn consumer(
        &self,
        config: GroupConsumerConfig,
        subscribe: Subscribe,
    ) -> Result<GroupConsumer, GroupsError> {
        GroupConsumer::new(config, subscribe, self.directory.clone(), &self.heartbeats)
    }
}
