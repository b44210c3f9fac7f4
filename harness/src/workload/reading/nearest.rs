//! Suggestions for an unknown name: the nearest of the names that would have been right.

/// Returns the candidate that `written` most likely stands for, if one is similar enough.
pub fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let written_plain = plain(written);
    candidates
        .into_iter()
        .map(|candidate| (likeness(&written_plain, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Returns 1 for the same name and 0 if nothing is in common. A name that is only cut short counts as similar.
fn likeness(written: &str, candidate: &str) -> f64 {
    let edited = strsim::normalized_damerau_levenshtein(written, candidate);
    let cut_short = written.len() >= 3 && (candidate.starts_with(written) || candidate.ends_with(written));
    if cut_short { edited.max(0.7) } else { edited }
}

/// Removes case and separators, which do not count: `segmentBytes` is `segment_bytes`.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
