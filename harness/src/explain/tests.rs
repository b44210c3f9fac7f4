//! Every word that vnotch prints or reads has an explanation.

use super::*;
use crate::exit::ExitStatus;
use crate::result::RunResult;
use crate::result::comparison::Conclusion;
use crate::workload::keys;

fn entries() -> Vec<Entry> {
    super::entries(Vec::new())
}

fn explain(word: &str) -> Result<Explanation, UnknownWord> {
    super::explain(&entries(), word)
}

fn kinds(word: &str) -> Vec<WordKind> {
    let found = explain(word).unwrap_or_else(|error| panic!("{error}"));
    let entries = found.entries.iter().chain(&found.members);
    entries
        .inspect(|entry| assert!(!entry.text.trim().is_empty(), "{entry:?}"))
        .map(|entry| entry.kind)
        .collect()
}

#[test]
fn every_workload_key_is_explained() {
    for key in keys() {
        assert!(kinds(&key).contains(&WordKind::WorkloadKey), "{key}");
    }
}

/// Returns the names of the values of an enum, from the schema of results.
fn names(of: &str) -> Vec<String> {
    let schema = serde_json::Value::from(schemars::schema_for!(RunResult));
    let values = schema["$defs"][of]["oneOf"].as_array().unwrap().clone();
    values.iter().map(|value| value["const"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_status_and_flag_is_explained_by_both_of_its_names() {
    for (of, kind, sample) in
        [("VerdictStatus", WordKind::Status, "slo_missed"), ("VerdictFlag", WordKind::Flag, "noisy_disk")]
    {
        let names = names(of);
        assert!(names.iter().any(|name| name == sample), "{names:?}");
        for name in names {
            let found = explain(&name).unwrap();
            let entry = found.entries.iter().find(|entry| entry.kind == kind).unwrap();
            assert!(kinds(&entry.facts["printed as"]).contains(&kind), "{name}");
        }
    }
    assert_eq!(explain("generator late or busy").unwrap().entries[0].name, "generator_limited");
}

#[test]
fn every_limit_is_explained() {
    let names = names("LimitKind");
    assert!(names.iter().any(|name| name == "shard_cpu"), "{names:?}");
    for name in names {
        assert!(kinds(&name).contains(&WordKind::Limit), "{name}");
    }
}

#[test]
fn every_conclusion_of_a_comparison_is_explained() {
    for conclusion in
        [Conclusion::Better, Conclusion::Worse, Conclusion::NoDifference, Conclusion::CannotTell]
    {
        assert!(kinds(conclusion.words()).contains(&WordKind::Conclusion), "{conclusion:?}");
    }
}

#[test]
fn every_exit_code_is_explained() {
    for status in ExitStatus::ALL {
        let code = (status as u8).to_string();
        assert_eq!(kinds(&code), [WordKind::ExitCode], "{code}");
        assert_eq!(kinds(&format!("exit code {code}")), [WordKind::ExitCode]);
    }
    let described: Vec<_> = entries().into_iter().filter(|it| it.kind == WordKind::ExitCode).collect();
    assert_eq!(described.len(), ExitStatus::ALL.len(), "no code is described that does not exist");
}

#[test]
fn every_field_of_a_result_is_explained_and_has_a_text() {
    let fields: Vec<_> = entries().into_iter().filter(|entry| entry.kind == WordKind::Field).collect();
    for field in &fields {
        assert!(!field.text.is_empty(), "{} has no description in the schema", field.name);
        assert!(kinds(&field.name).contains(&WordKind::Field), "{}", field.name);
    }
    assert!(
        fields.iter().all(|field| !field.text.contains("docs/")),
        "users of the binary alone have no docs/"
    );
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    for name in ["of_ceiling.write", "latency_ns.response.p99", "provenance.machine_id", "points.durability"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn every_field_of_a_comparison_is_explained_and_has_a_text() {
    for name in ["effect.ratio", "effect.conclusion", "band", "pairs.order", "calibration", "method"] {
        assert!(kinds(name).contains(&WordKind::ComparisonField), "{name}");
    }
    let fields = entries().into_iter().filter(|entry| entry.kind == WordKind::ComparisonField);
    let without: Vec<String> = fields.filter(|field| field.text.is_empty()).map(|field| field.name).collect();
    assert!(without.is_empty(), "no description in the schema: {without:?}");
}

#[test]
fn a_field_is_known_by_its_name_in_a_summary() {
    for name in ["produce.records_per_s", "latency_ns.service.p50", "resources.pump.work"] {
        assert_eq!(require_field(name), Ok(()), "{name}");
    }
    assert_eq!(require_field("produce.record_per_s"), Err(Some("produce.records_per_s".to_owned())));
}

#[test]
fn the_fields_that_the_table_of_the_first_screen_names_exist() {
    let fields: Vec<_> = entries().into_iter().filter(|entry| entry.kind == WordKind::Field).collect();
    let shown = figures::on_screen();
    assert!(shown.len() > 20);
    for entry in shown {
        for path in entry.facts.get("field").into_iter().flat_map(|paths| paths.split(", ")) {
            let exists = |field: &Entry| field.name == path || field.name == format!("points.{path}");
            assert!(fields.iter().any(exists), "{path}, which is said to be shown as {}", entry.name);
        }
    }
}

#[test]
fn a_word_is_found_by_the_name_on_the_screen_in_the_file_and_in_part() {
    assert_eq!(explain("response p99").unwrap().entries[0].name, "latency_ns.response.p99");
    assert_eq!(explain("Ack Pickup").unwrap().entries[0].name, "ack_pickup");
    assert_eq!(explain("≤").unwrap().entries[0].kind, WordKind::Figure);
    assert_eq!(explain("is_after_only").unwrap().entries[0].name, "ceiling.is_after_only");
    assert_eq!(explain("slo.response_p99").unwrap().entries[0].name, "slo.<latency>_<percentile>");
    let log = explain("log").unwrap();
    assert!(log.entries.is_empty() && log.members.iter().any(|it| it.name == "log.segment_bytes"), "{log:?}");
    let ramp: Vec<_> = explain("load").unwrap().members.into_iter().map(|it| it.name).collect();
    assert!(ramp.contains(&"load.ramp.from".to_owned()), "{ramp:?}");
    let rates: Vec<_> = explain("bytes_per_s").unwrap().members.into_iter().map(|it| it.name).collect();
    assert!(rates.contains(&"produce.bytes_per_s".to_owned()), "{rates:?}");
}

#[test]
fn a_topic_is_printed_by_its_heading_and_only_named_beside_other_entries() {
    let topic = explain("late generators").unwrap();
    assert!(topic.entries[0].text.starts_with("If the generator of an open load is late"), "{topic:?}");
    let ceiling = explain("ceiling").unwrap();
    assert_eq!(ceiling.see, ["The ceiling"]);
    assert!(ceiling.entries.iter().all(|entry| entry.kind != WordKind::Topic));
    assert_eq!(explain("late_retries").unwrap().entries[0].see, ["Late generators"]);
}

#[test]
fn an_unknown_word_is_refused_with_the_nearest_one() {
    let message = |word| explain(word).unwrap_err().to_string();
    assert_eq!(
        message("segmnt_bytes"),
        "`segmnt_bytes` is no word that vnotch explains; did you mean `log.segment_bytes`?; `vnotch explain` lists them all"
    );
    assert!(message("noisydsk").contains("did you mean `noisy disk`?"), "{}", message("noisydsk"));
    assert!(!message("qqqqqqqqqqqqqqqqq").contains("did you mean"));
}
