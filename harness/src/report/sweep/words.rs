//! The answer of a sweep in plain sentences: which settings remain, and by how much the others are worse.

use super::answers::{Answer, answers, is_apart};
use super::change::{change, number};
use super::metric::{best_word, better, name, text};
use super::{Combination, Sweep, is_sound, prices};
use crate::report::facts::figure_words;
use crate::stats::{Against, BLOCKS_MIN, Better, Sight, Standing};
use crate::workload::Metric;

/// The most combinations that a sentence names. More of them are counted.
const NAMED_MAX: usize = 3;
/// The most numbers that stand beside the answer.
const NUMBERS_MAX: usize = 3;

/// The answer of a sweep.
pub(in crate::report) struct Said {
    /// Sentences that answer the question, by the metric that the sweep is about.
    pub(in crate::report) answer: Vec<String>,
    /// At most three numbers: what each is, and its value with its interval.
    pub(in crate::report) numbers: Vec<(String, String)>,
    /// Answers by other metrics, and limits of the comparison.
    pub(in crate::report) more: Vec<String>,
}

/// Returns the answer of a sweep.
pub(in crate::report) fn said(sweep: &Sweep<'_>) -> Said {
    let metrics = sweep.metrics();
    let (answer, numbers) = match metrics.first() {
        Some(primary) => (sentences(sweep, *primary, true), numbers(sweep, *primary)),
        None => (vec!["Nothing was measured that can be compared.".to_owned()], Vec::new()),
    };
    let mut more: Vec<String> =
        metrics.iter().skip(1).flat_map(|metric| sentences(sweep, *metric, false)).collect();
    let censored = sweep.combinations.iter().filter(|it| it.is_censored(Metric::ResponseP99));
    let censored: Vec<String> = censored.map(|it| sweep.name(it)).collect();
    if !censored.is_empty() {
        let names = listed(&censored);
        more.push(format!("Not compared by p99, because records were never acked: {names}."));
    }
    more.extend(left_out(sweep));
    Said { answer, numbers, more }
}

/// Returns the answer by one metric: the prices of the steps, or a sentence for each durability and cache state.
fn sentences(sweep: &Sweep<'_>, metric: Metric, is_primary: bool) -> Vec<String> {
    if let Some(along) = sweep.ratio {
        return vec![prices::sentence(sweep, along, metric)];
    }
    let answers = answers(sweep, metric);
    if answers.is_empty() {
        return vec![not_compared(sweep, metric)];
    }
    let are_too_few = answers.len() > 1 && answers.iter().all(|answer| is_too_few(answer));
    if is_primary && are_too_few {
        let least = answers.iter().map(Answer::blocks).min().unwrap_or(0);
        let said = answers.iter().map(|answer| sentence(sweep, answer, false));
        return std::iter::once(format!("{}.", too_few("Nothing", least))).chain(said).collect();
    }
    answers.iter().map(|answer| sentence(sweep, answer, is_primary)).collect()
}

/// Returns the sentence for a metric that no combination has.
fn not_compared(sweep: &Sweep<'_>, metric: Metric) -> String {
    let noun = noun(sweep, metric);
    if metric.needs_open_load() {
        return format!(
            "No {noun} can be compared: it needs ten acks beyond the percentile in every trial of a valid point; use a longer \
             window."
        );
    }
    format!("No {noun} can be compared: every combination failed or is invalid.")
}

/// Returns the name of a metric, with the rate of an open load.
fn noun(sweep: &Sweep<'_>, metric: Metric) -> String {
    if metric.needs_open_load() {
        format!("{} {}", name(metric), sweep.rate_words())
    } else {
        name(metric).to_owned()
    }
}

/// A combination that is compared with the best-looking one: its name and the comparison.
type Other = (String, Against);

/// The combinations of an answer by their standing, the nearest to the best-looking one first.
struct Others {
    all: usize,
    ruled_out: Vec<Other>,
    remaining: Vec<Other>,
    contradicted: Vec<Other>,
    too_few: Vec<Other>,
}

impl Others {
    fn of(sweep: &Sweep<'_>, answer: &Answer<'_>) -> Self {
        let other = |it: &&Combination<'_>| Some((short_name(sweep, it), answer.against(it)?));
        let mut others: Vec<Other> = answer.members.iter().filter_map(other).collect();
        let distance = |other: &Other| other.1.ratio.ln().abs();
        others.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        let with =
            |standing| others.iter().filter(|it| it.1.standing == standing).cloned().collect::<Vec<Other>>();
        Self {
            all: others.len(),
            ruled_out: with(Standing::RuledOut),
            remaining: with(Standing::Remains),
            contradicted: with(Standing::Contradicted),
            too_few: with(Standing::TooFewBlocks),
        }
    }

    /// Returns the names of the combinations that remain beside the best-looking one.
    fn left(&self) -> Vec<String> {
        let left = self.remaining.iter().chain(&self.contradicted).chain(&self.too_few);
        left.map(|(name, _)| name.clone()).collect()
    }
}

/// Returns the sentence of one answer. `is_primary` is true for the metric that the sweep is about.
fn sentence(sweep: &Sweep<'_>, answer: &Answer<'_>, is_primary: bool) -> String {
    let (metric, noun) = (answer.metric, noun(sweep, answer.metric));
    let group = if answer.group.is_empty() { String::new() } else { format!("With {}: ", answer.group) };
    let others = Others::of(sweep, answer);
    let best = short_name(sweep, answer.best());
    let value = value(answer.best(), metric);
    if others.all == 0 {
        let best = if best.is_empty() { best } else { format!("{best}: ") };
        return format!("{group}{best}{noun} {value}; there is no other setting to compare it with.");
    }
    let first = format!("{}{}", first_attempts(&others), higher_median(sweep, answer));
    if others.too_few.len() == others.all {
        let sight = sight_of_eight(answer.found.sight);
        if !is_primary {
            let by = opening(&group, "by");
            let (needed, medians) = (trials_needed(answer), medians(answer));
            return format!("{by} {noun} no setting can be told from another: {needed}; {sight}. {medians}.");
        }
        let nothing = too_few(&opening(&group, "nothing"), answer.blocks());
        return format!("{nothing}. {best} looks best, {noun} {value}; {sight}.");
    }
    let seen = seen(answer.found.sight);
    if others.ruled_out.is_empty() {
        let (no, bound) = (opening(&group, "no"), bound(&others, metric));
        return format!(
            "{no} setting is ruled out by {noun}. {best} looks best, {value}{bound}. {seen}.{first}"
        );
    }
    let out = ruled_out(&others, metric);
    if others.ruled_out.len() == others.all {
        let best = format!("{group}{best} has the {} {noun}", best_word(metric));
        return format!("{best}: {value}. {out}. {seen}.{first}");
    }
    let left = others.left();
    let names = if left.len() > NAMED_MAX { String::new() } else { format!(": {}", left.join("; ")) };
    let count = if left.len() == 1 { "One other".to_owned() } else { format!("{} others", left.len()) };
    format!(
        "{group}{best} looks best, {noun} {value}. {count} cannot be told from it{names}. {seen}. {out}.{first}"
    )
}

/// Says how many trials an answer needs, and how many count. Trials whose generator was late do not.
fn trials_needed(answer: &Answer<'_>) -> String {
    let points = answer.members.iter().filter_map(|it| it.point(answer.metric));
    let is_any_late = points.flat_map(|point| &point.trials).any(|trial| trial.is_late);
    let in_time = if is_any_late { " whose generator was in time" } else { "" };
    format!("an answer needs {BLOCKS_MIN} trials of each{in_time}, and there are {}", answer.blocks())
}

/// Names the least and the greatest median of an answer's combinations.
fn medians(answer: &Answer<'_>) -> String {
    let metric = answer.metric;
    let medians: Vec<f64> = answer.members.iter().filter_map(|it| it.sound_median(metric)).collect();
    let end = |of: fn(f64, f64) -> f64| medians.iter().copied().reduce(of).map(|median| text(metric, median));
    match end(f64::min).zip(end(f64::max)) {
        Some((least, greatest)) if least != greatest => format!("Medians are {least} to {greatest}"),
        Some((only, _)) => format!("All medians are {only}"),
        None => "No median is known".to_owned(),
    }
}

/// Tells whether no comparison of an answer has enough blocks.
fn is_too_few(answer: &Answer<'_>) -> bool {
    let mut compared = answer.found.others.iter().flatten();
    answer.found.others.len() > 1 && compared.all(|it| it.standing == Standing::TooFewBlocks)
}

/// Says that so few blocks give no answer.
fn too_few(nothing: &str, blocks: usize) -> String {
    format!(
        "{nothing} is ruled out yet: an answer needs {BLOCKS_MIN} blocks (`--trials {BLOCKS_MIN}`), not {blocks}"
    )
}

/// Returns a word after the group. Without a group it begins the sentence, with a capital.
fn opening(group: &str, word: &str) -> String {
    if group.is_empty() {
        let mut chars = word.chars();
        return chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect());
    }
    format!("{group}{word}")
}

/// Describes the combinations that are ruled out, with the change of each.
fn ruled_out(others: &Others, metric: Metric) -> String {
    let told = |(_, against): &Other| {
        change(against.ratio, against.interval.map(|interval| (interval.low, interval.high)), metric)
    };
    let out = &others.ruled_out;
    match &out[..] {
        [only] if others.all == 1 => format!("The other, {}, is ruled out with {}", only.0, told(only)),
        [first, .., last] if out.len() > NAMED_MAX => {
            let which = if out.len() == others.all {
                "all others".to_owned()
            } else {
                format!("{} others", out.len())
            };
            let (near, far) = (told(first), told(last));
            format!("Ruled out: {which}, from {} with {near} to {} with {far}", first.0, last.0)
        }
        named => {
            let named = named.iter().map(|other| format!("{} with {}", other.0, told(other)));
            format!("Ruled out: {}", named.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Returns by how much the worst combination that remains can be worse, at most.
fn bound(others: &Others, metric: Metric) -> String {
    let worst = |(_, against): &Other| {
        let interval = against.interval?;
        Some(if better(metric) == Better::More { interval.low } else { interval.high })
    };
    let ends = others.remaining.iter().filter_map(worst);
    let end = if better(metric) == Better::More { ends.reduce(f64::min) } else { ends.reduce(f64::max) };
    if others.remaining.len() < others.all {
        return String::new();
    }
    let which = if others.all == 1 { "the other has" } else { "none of the others has" };
    let at_most = if others.all == 1 { "at most " } else { "more than " };
    end.map_or_else(String::new, |end| format!("; {which} {at_most}{}", change(end, None, metric)))
}

/// Says which differences the trials can show.
fn seen(sight: Option<Sight>) -> String {
    sight.map_or_else(
        || "No block shows a spread, so it is not known which differences the trials can show".to_owned(),
        |it| {
            format!(
                "The {} trials of each can show differences of {} % or more",
                it.blocks,
                percent(it.difference)
            )
        },
    )
}

/// Says which differences eight blocks could show.
fn sight_of_eight(sight: Option<Sight>) -> String {
    sight.map_or_else(
        || {
            "one block shows no spread, so it is not known which differences more blocks could show"
                .to_owned()
        },
        |it| {
            format!(
                "with this spread, {} trials of each could show {}",
                it.blocks,
                if it.difference < 1.0 {
                    format!("only differences of {} % or more", percent(it.difference))
                } else {
                    "not even a difference of 100 %".to_owned()
                }
            )
        },
    )
}

fn percent(difference: f64) -> String {
    number(difference * 100.0)
}

/// Names the combinations that first attempts keep from being ruled out.
fn first_attempts(others: &Others) -> String {
    let names: Vec<String> = others.contradicted.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(" Not ruled out, because first attempts, late ones included, contradict it: {}.", listed(&names))
}

/// Explains why a combination with a better median does not look best: medians are of single settings, and the answer is of
/// ratios within blocks.
fn higher_median(sweep: &Sweep<'_>, answer: &Answer<'_>) -> String {
    let metric = answer.metric;
    let sign = if better(metric) == Better::More { 1.0 } else { -1.0 };
    let median = |it: &&Combination<'_>| it.sound_median(metric).map_or(f64::NEG_INFINITY, |it| sign * it);
    let Some(other) = answer.members.iter().copied().max_by(|a, b| median(a).total_cmp(&median(b))) else {
        return String::new();
    };
    let medians = other.sound_median(metric).zip(answer.best().sound_median(metric));
    let (against, name_of_other) = (answer.against(other), short_name(sweep, other));
    match (medians, against) {
        (Some((other, best)), Some(against)) if text(metric, other) != text(metric, best) => format!(
            " The median of {} is better, {}; but the answer compares settings within each block, and there it had on average {}.",
            name_of_other,
            text(metric, other),
            change(against.ratio, None, metric)
        ),
        _ => String::new(),
    }
}

/// Returns the numbers beside the answer.
fn numbers(sweep: &Sweep<'_>, primary: Metric) -> Vec<(String, String)> {
    let mut numbers = Vec::new();
    if let Some(along) = sweep.ratio {
        for price in prices::prices(sweep, along, primary) {
            let what = if price.beside.is_empty() {
                price.step
            } else {
                format!("{}, {}", price.step, price.beside)
            };
            numbers.extend(price.found.map(|found| (what, prices::ratio(found))));
        }
    } else {
        let answers = answers(sweep, primary);
        if let [only] = &answers[..] {
            let beside = [sweep.throughput(), Metric::ResponseP99, Metric::DiskPeak];
            let others = beside.into_iter().filter(|it| *it != primary);
            let metrics = std::iter::once(primary).chain(others);
            let has = |metric: &Metric| {
                only.best().point(*metric).is_some_and(|it| it.figure(metric.path()).is_some())
            };
            let number = |metric| (noun(sweep, metric), value(only.best(), metric));
            numbers.extend(metrics.filter(has).map(number));
        } else {
            let number = |it: &Answer<'_>| {
                (format!("{}, {}", noun(sweep, primary), it.group), value(it.best(), primary))
            };
            numbers.extend(answers.iter().map(number));
        }
    }
    numbers.truncate(NUMBERS_MAX);
    numbers
}

/// Returns the median of a metric with its interval or range.
fn value(combination: &Combination<'_>, metric: Metric) -> String {
    let figure = combination.point(metric).and_then(|point| point.figure(metric.path()));
    figure.map_or_else(|| "not known".to_owned(), |figure| figure_words(figure, |value| text(metric, value)))
}

/// Returns the name of a combination without what its answer is apart by.
fn short_name(sweep: &Sweep<'_>, combination: &Combination<'_>) -> String {
    sweep.name_without(combination, is_apart)
}

/// Names some combinations, or counts them if they are many.
fn listed(names: &[String]) -> String {
    if names.len() > NAMED_MAX { format!("{} others", names.len()) } else { names.join("; ") }
}

/// Returns a sentence on the combinations that could not be compared.
fn left_out(sweep: &Sweep<'_>) -> Option<String> {
    let failed: Vec<String> = sweep
        .combinations
        .iter()
        .filter_map(|it| {
            let unsound = it.points().filter(|point| !is_sound(point));
            let worst = unsound.max_by_key(|point| point.verdict.status)?;
            let load = if it.has_failed() { String::new() } else { format!(" under {}", worst.pass) };
            Some(format!("{} ({}{load})", sweep.name(it), worst.verdict.status.words()))
        })
        .collect();
    match failed.len() {
        0 => None,
        count if count > NAMED_MAX => {
            Some(format!("Left out, because they failed or are invalid: {count} combinations."))
        }
        _ => Some(format!("Left out: {}.", failed.join("; "))),
    }
}
