//! `vnotch explain`: one word, all words, and an unknown word.

use crate::support::{end, vnotch};

#[test]
fn a_word_is_explained_as_text_and_as_json() {
    let text = end(vnotch().args(["explain", "log.segment_bytes"])).success();
    assert!(text.starts_with("log.segment_bytes (workload key)\n"), "{text}");
    assert!(text.contains("default: 128MiB") && text.contains("size at which a segment is sealed"), "{text}");
    let json = end(vnotch().args(["explain", "noisy", "disk", "--format", "json"])).success();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["entries"][0]["name"], "noisy_disk");
    assert_eq!(document["entries"][0]["kind"], "flag");
}

#[test]
fn an_option_is_explained_with_the_verbs_that_take_it() {
    for word in [&["strict"][..], &["--", "--strict"], &["--format", "text", "STRICT"]] {
        let text = end(vnotch().arg("explain").args(word)).success();
        assert!(text.contains("--strict (option of the command line)\n"), "{text}");
        assert!(text.contains("of: compare") && text.contains("of: run"), "{text}");
    }
    let text = end(vnotch().args(["explain", "band"])).success();
    assert!(text.contains("--band (option") && text.contains("The least difference that matters"), "{text}");
    assert!(text.contains("band (field of a comparison's result.json)"), "{text}");
}

#[test]
fn a_verb_that_is_not_built_yet_is_refused_by_name_with_what_serves_until_then() {
    for (verb, instead) in [
        ("search", "tries several rates"),
        ("merge", "vnotch report A B"),
        ("export", "HdrHistogram"),
        ("import", "vnotch workload NAME"),
        ("history", "vnotch list"),
    ] {
        let message = end(vnotch().args([verb, "x", "--some", "y"])).refusal(2);
        assert!(message.contains(&format!("`vnotch {verb}`")), "{message}");
        assert!(message.contains("is not built yet") && message.contains(instead), "{message}");
    }
}

#[test]
fn without_a_word_all_are_listed_by_kind() {
    let text = end(vnotch().arg("explain")).success();
    for expected in
        ["Keys of a workload file\n", "load.mode", "slo_missed", "130", "of ceiling", "late generators"]
    {
        assert!(text.to_lowercase().contains(&expected.to_lowercase()), "{expected} in:\n{text}");
    }
}

#[test]
fn an_unknown_word_is_exit_2_and_names_the_nearest() {
    let message = end(vnotch().args(["explain", "respnse", "p99"])).refusal(2);
    assert!(message.contains("did you mean `response p99`?"), "{message}");
}

#[test]
fn a_verb_without_json_output_refuses_the_option() {
    for arguments in [&["workload", "quickstart"][..], &["completions", "bash"], &["man"]] {
        let message = end(vnotch().args(arguments).args(["--format", "json"])).refusal(2);
        assert!(message.contains("has no JSON output"), "{message}");
    }
}
