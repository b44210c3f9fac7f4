//! Removes the groups of a run, with their committed offsets.

use crate::system::kafka::errors::missing_rights;
use crate::system::kafka::topics::options;
use anyhow::{Context as _, bail};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// Longest wait until a group of a run that has ended has no members. A client that owns no partition can close without leaving its
/// group. The group then keeps it for the session timeout, which is 45 s unless the workload sets another one.
pub(in crate::system::kafka) const AFTER_A_RUN: Duration = Duration::from_secs(60);
/// Longest wait until a group of an earlier run has no members. A group that still has some may be in use.
pub(in crate::system::kafka) const OF_EARLIER_RUNS: Duration = Duration::from_secs(10);
/// Time between two requests.
const RETRY: Duration = Duration::from_millis(200);

/// Removes groups. Those that no member has joined do not exist. A group with members is waited for, for `empty_max` at most.
///
/// # Errors
/// The cluster refuses it, or does not answer.
pub(in crate::system::kafka) fn delete(
    admin: &AdminClient<DefaultClientContext>,
    groups: &[&str],
    empty_max: Duration,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut left: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(String::as_str).collect();
        let context = || format!("cannot remove the groups {}", names.join(", "));
        let results = pollster::block_on(admin.delete_groups(&names, &options())).with_context(context)?;
        let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        let mut again = Vec::new();
        for (group, code) in refused {
            match code {
                RDKafkaErrorCode::GroupIdNotFound => {}
                code if may_pass(code) && begun.elapsed() < empty_max => again.push(group),
                code => {
                    let rights = missing_rights(code);
                    bail!("cannot remove the group {group}: the cluster refuses it: {code}{rights}")
                }
            }
        }
        left = again;
        if !left.is_empty() {
            std::thread::sleep(RETRY);
        }
    }
    Ok(())
}

/// Whether a request that was refused for this reason may succeed later.
const fn may_pass(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NonEmptyGroup
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
}
