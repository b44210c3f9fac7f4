//! Tests of the workload module: exact units, messages that point at the mistake, and files that survive a round trip.

mod documentation;
mod estimates;
mod messages;
mod overrides;
mod round_trip;
mod sweeps;
mod units;

use super::*;

/// The systems as a build with every client has them.
fn with_every_client() -> Vec<Capabilities> {
    crate::system::CAPABILITIES.iter().map(|system| Capabilities { missing: None, ..*system }).collect()
}

fn load(yaml: &str) -> Workload {
    parse(yaml, "test.yaml", &[]).unwrap()
}

/// The whole message about a wrong workload file.
fn refused(yaml: &str) -> String {
    message_of(parse(yaml, "test.yaml", &[]))
}

/// The message about a file with one mistake, without the lines that show it.
fn first_line(yaml: &str) -> String {
    refused(yaml).lines().next().unwrap().to_owned()
}

fn message_of(outcome: anyhow::Result<Workload>) -> String {
    let error = outcome.expect_err("the workload is wrong");
    assert_eq!(crate::exit::status_of(&error), crate::exit::ExitStatus::Usage);
    error.to_string()
}
