//! `vnotch prune --leftovers --target`: topics and consumer groups that killed runs left in a cluster.

use crate::cli::{self, Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::num;
use crate::stderr;
use crate::system::{self, IN_USE_MAX, LeftInCluster, LeftKind, Newest};
use crate::workload::{KafkaSettings, Target, TimeSpan};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// The topics and groups to remove, and how to reach their cluster.
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

    /// Whether a topic or group goes: it is named, or nobody named any and no run uses it.
    fn takes(&self, left: &LeftInCluster, now: SystemTime) -> bool {
        if self.names.is_empty() { !left.may_be_in_use(now) } else { self.names.contains(&left.name) }
    }
}

/// Removes, or only lists, what killed runs left in a cluster.
pub(super) fn prune(globals: Globals, target: &Target, request: &Request<'_>) -> anyhow::Result<ExitStatus> {
    let found = system::left_in_cluster(target, &request.kafka)?;
    if let Some(other) = request.names.iter().find(|name| !found.iter().any(|left| left.name == **name)) {
        return Err(UsageError::error(format!(
            "{other} is no topic or group that a run made in {target}; `vnotch prune --leftovers --target {target}` lists those"
        )));
    }
    let now = SystemTime::now();
    let (going, staying): (Vec<_>, Vec<_>) = found.iter().partition(|left| request.takes(left, now));
    if request.is_removed && !going.is_empty() {
        system::remove_from_cluster(target, &request.kafka, &going)?;
    }
    if globals.format == Format::Json {
        let (topics, groups): (Vec<_>, Vec<_>) = going.iter().copied().partition(|left| is_topic(left));
        let list = |of: &[&LeftInCluster]| of.iter().map(|left| shown(left, now)).collect::<Vec<_>>();
        let document = json!({
            "kind": "prune", "removed": request.is_removed, "topics": list(&topics), "groups": list(&groups),
            "left_alone": list(&staying)
        });
        cli::print(&format!("{document:#}\n"))?;
        return Ok(ExitStatus::Ok);
    }
    let verb = if request.is_removed { "removed" } else { "would remove" };
    for left in &going {
        cli::print(&format!("{verb} {} ({})\n", left.name, words(left, now)))?;
    }
    if !globals.quiet {
        // What the user did not name needs no word.
        for left in staying.iter().filter(|_| request.names.is_empty()) {
            stderr::line(format_args!(
                "note: not removed: {} ({}): a run may use it; name it to remove it",
                left.name,
                words(left, now)
            ));
        }
        stderr::line(format_args!("note: {}", conclusion(&going, request.is_removed)));
    }
    Ok(ExitStatus::Ok)
}

const fn is_topic(left: &LeftInCluster) -> bool {
    matches!(left.kind, LeftKind::Topic { .. })
}

fn shown(left: &LeftInCluster, now: SystemTime) -> serde_json::Value {
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    let (name, made_s_ago) = (&left.name, seconds(left.since_made(now)));
    match left.kind {
        LeftKind::Topic { partitions, newest } => json!({
            "topic": name,
            "partitions": partitions,
            "made_s_ago": made_s_ago,
            "written_s_ago": seconds(left.since_written(now)),
            "is_newest_known": newest != Newest::Unknown,
        }),
        LeftKind::Group { members } => json!({ "group": name, "members": members, "made_s_ago": made_s_ago }),
    }
}

/// Describes a topic, `2 partitions, made 3h ago, last written 2h ago`, or a group, `a group without members, made 3h ago`.
fn words(left: &LeftInCluster, now: SystemTime) -> String {
    let ago = |age: Duration| TimeSpan(Duration::from_secs(whole(age.as_secs())));
    let made = left.since_made(now).map_or("age unknown".to_owned(), |age| format!("made {} ago", ago(age)));
    match left.kind {
        LeftKind::Topic { partitions, newest } => {
            let written = match (left.since_written(now), newest) {
                (Some(age), _) => format!("last written {} ago", ago(age)),
                (None, Newest::Unknown) => {
                    "a partition cannot be read, so the time of the last record is unknown".to_owned()
                }
                (None, _) => "no records".to_owned(),
            };
            format!("{}, {made}, {written}", counted(num::index(partitions), "partition"))
        }
        LeftKind::Group { members: 0 } => format!("a group without members, {made}"),
        LeftKind::Group { members } => {
            format!("a group of {}, {made}", counted(num::index(members), "member"))
        }
    }
}

/// Formats a number of things: `1 member`, `2 members`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rounds an age down to whole hours, or minutes, so that it reads well.
const fn whole(seconds: u64) -> u64 {
    match seconds {
        0..60 => seconds,
        60..3600 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    }
}

fn conclusion(going: &[&LeftInCluster], is_removed: bool) -> String {
    let topics = going.iter().filter(|left| is_topic(left)).count();
    let of = [(topics, "topic"), (going.len() - topics, "group")];
    let what: Vec<String> =
        of.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what)).collect();
    match (what.join(" and "), is_removed) {
        (nothing, _) if nothing.is_empty() => {
            format!("nothing to remove that is older than {}", TimeSpan(IN_USE_MAX))
        }
        (what, true) => format!("{what} removed"),
        (what, false) => format!("{what} would be removed; nothing was, because --yes was not given"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn topic(name: &str, made_s: u64) -> LeftInCluster {
        let kind = LeftKind::Topic { partitions: 2, newest: Newest::None };
        LeftInCluster { name: name.to_owned(), made_s: Some(made_s), kind }
    }

    fn group(members: u32) -> LeftInCluster {
        LeftInCluster { kind: LeftKind::Group { members }, ..topic("g", 89_000) }
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
        let kind = LeftKind::Topic { partitions: 1, newest: Newest::Written(99_958_000) };
        let unknown = LeftInCluster { made_s: None, kind, ..topic("t", 0) };
        assert_eq!(words(&unknown, now), "1 partition, age unknown, last written 42s ago");
        let kind = LeftKind::Topic { partitions: 1, newest: Newest::Unknown };
        let unread = LeftInCluster { kind, ..topic("t", 89_000) };
        let said = words(&unread, now);
        assert!(said.starts_with("1 partition, made 3h ago, a partition cannot be read"), "{said}");
        let all = Request::of(&[], &[], true).unwrap();
        assert!(!all.takes(&unread, now), "its age is not known, so it goes only if it is named");
        assert_eq!(shown(&unread, now)["is_newest_known"], false);
    }

    #[test]
    fn a_group_is_described_by_its_members_and_the_conclusion_counts_both_kinds() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        assert_eq!(words(&group(0), now), "a group without members, made 3h ago");
        assert_eq!(words(&group(1), now), "a group of 1 member, made 3h ago");
        let (one, two) = (topic("t", 0), group(0));
        assert_eq!(conclusion(&[&one, &two, &two], true), "1 topic and 2 groups removed");
        assert!(conclusion(&[&two], false).starts_with("1 group would be removed; nothing was"));
        assert_eq!(conclusion(&[], true), "nothing to remove that is older than 1h");
    }
}
