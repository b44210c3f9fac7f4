//! `vnotch prune --leftovers --target`: topics that killed runs left in a cluster.

use crate::cli::{self, Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::stderr;
use crate::system::{self, IN_USE_MAX, LeftTopic};
use crate::workload::{KafkaSettings, Target, TimeSpan};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// The topics to remove, and how to reach their cluster.
#[derive(Debug)]
pub(super) struct Request<'a> {
    names: &'a [String],
    kafka: KafkaSettings,
    is_removed: bool,
}

impl<'a> Request<'a> {
    /// Reads the properties, each as `NAME=VALUE`.
    ///
    /// # Errors
    /// A [`UsageError`] for one of another form.
    pub(super) fn of(names: &'a [String], properties: &[String], is_removed: bool) -> anyhow::Result<Self> {
        let read = |text: &String| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(UsageError::error(format!("--property {text}: expected NAME=VALUE"))),
        };
        let properties = properties.iter().map(read).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        Ok(Self { names, kafka: KafkaSettings { properties, ..KafkaSettings::default() }, is_removed })
    }

    /// Whether a topic goes: it is named, or nobody named any and no run uses it.
    fn takes(&self, topic: &LeftTopic, now: SystemTime) -> bool {
        if self.names.is_empty() { !topic.may_be_in_use(now) } else { self.names.contains(&topic.name) }
    }
}

/// Removes, or only lists, topics that killed runs left in a cluster.
pub(super) fn prune(globals: Globals, target: &Target, request: &Request<'_>) -> anyhow::Result<ExitStatus> {
    let found = system::topics_left(target, &request.kafka)?;
    if let Some(other) = request.names.iter().find(|name| !found.iter().any(|topic| topic.name == **name)) {
        return Err(UsageError::error(format!(
            "{other} is no topic that a run made in {target}; `vnotch prune --leftovers --target {target}` lists those"
        )));
    }
    let now = SystemTime::now();
    let (going, staying): (Vec<_>, Vec<_>) = found.iter().partition(|topic| request.takes(topic, now));
    if request.is_removed && !going.is_empty() {
        let names: Vec<&str> = going.iter().map(|topic| topic.name.as_str()).collect();
        system::remove_topics(target, &request.kafka, &names)?;
    }
    if globals.format == Format::Json {
        let list = |topics: &[&LeftTopic]| topics.iter().map(|topic| shown(topic, now)).collect::<Vec<_>>();
        let document = json!({
            "kind": "prune", "removed": request.is_removed, "topics": list(&going), "left_alone": list(&staying)
        });
        cli::print(&format!("{document:#}\n"))?;
        return Ok(ExitStatus::Ok);
    }
    let verb = if request.is_removed { "removed" } else { "would remove" };
    for topic in &going {
        cli::print(&format!("{verb} {} ({})\n", topic.name, words(topic, now)))?;
    }
    if !globals.quiet {
        // Topics that the user did not name need no word.
        for topic in staying.iter().filter(|_| request.names.is_empty()) {
            stderr::line(format_args!(
                "note: not removed: {} ({}): a run may use it; name it to remove it",
                topic.name,
                words(topic, now)
            ));
        }
        stderr::line(format_args!("note: {}", conclusion(going.len(), request.is_removed)));
    }
    Ok(ExitStatus::Ok)
}

fn shown(topic: &LeftTopic, now: SystemTime) -> serde_json::Value {
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    json!({
        "topic": topic.name,
        "partitions": topic.partitions,
        "made_s_ago": seconds(topic.since_made(now)),
        "written_s_ago": seconds(topic.since_written(now)),
    })
}

/// Describes a topic: `2 partitions, made 3h ago, last written 2h ago`.
fn words(topic: &LeftTopic, now: SystemTime) -> String {
    let count = topic.partitions;
    let ago = |age: Duration| TimeSpan(Duration::from_secs(whole(age.as_secs())));
    let made = topic.since_made(now).map_or("age unknown".to_owned(), |age| format!("made {} ago", ago(age)));
    let written = topic.since_written(now);
    let written = written.map_or("no records".to_owned(), |age| format!("last written {} ago", ago(age)));
    format!("{count} partition{}, {made}, {written}", if count == 1 { "" } else { "s" })
}

/// Rounds an age down to whole hours, or minutes, so that it reads well.
const fn whole(seconds: u64) -> u64 {
    match seconds {
        0..60 => seconds,
        60..3600 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    }
}

fn conclusion(count: usize, is_removed: bool) -> String {
    let topics = format!("{count} topic{}", if count == 1 { "" } else { "s" });
    match (count, is_removed) {
        (0, _) => format!("nothing to remove that is older than {}", TimeSpan(IN_USE_MAX)),
        (_, true) => format!("{topics} removed"),
        (_, false) => format!("{topics} would be removed; nothing was, because --yes was not given"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn topic(name: &str, made_s: u64) -> LeftTopic {
        LeftTopic { name: name.to_owned(), partitions: 2, made_s: Some(made_s), written_ms: None }
    }

    #[test]
    fn topics_in_use_go_only_if_they_are_named() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        let (old, young) = (topic("vnotch-0-old", 90_000), topic("vnotch-0-young", 99_990));
        let all = Request::of(&[], &[], true).unwrap();
        assert_eq!((all.takes(&old, now), all.takes(&young, now)), (true, false));
        let names = ["vnotch-0-young".to_owned()];
        let named = Request::of(&names, &[], true).unwrap();
        assert_eq!((named.takes(&old, now), named.takes(&young, now)), (false, true));
    }

    #[test]
    fn properties_have_a_name_and_a_value() {
        let read = |text: &str| Request::of(&[], &[text.to_owned()], false);
        let properties = read("sasl.password=env:A=B").unwrap().kafka.properties;
        assert_eq!(properties["sasl.password"], "env:A=B");
        for wrong in ["sasl.password", "=x"] {
            assert!(read(wrong).unwrap_err().to_string().contains("expected NAME=VALUE"));
        }
    }

    #[test]
    fn a_topic_is_described_by_its_size_and_its_age() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        assert_eq!(words(&topic("t", 89_000), now), "2 partitions, made 3h ago, no records");
        let unknown =
            LeftTopic { partitions: 1, made_s: None, written_ms: Some(99_958_000), ..topic("t", 0) };
        assert_eq!(words(&unknown, now), "1 partition, age unknown, last written 42s ago");
    }
}
