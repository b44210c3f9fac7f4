//! `latency.hlog`: histograms in HdrHistogram's interval log format (V2, compressed), which HdrHistogram's own tools read.
//!
//! The tag of a line names the point, the trial and the measure:
//!
//! - `<point>.<trial>.<measure>`: the records of one interval.
//! - `<point>.<trial>.<measure>.records`: all records of the trial's window.
//! - `<point>.<trial>.<measure>.distinct`: the same, with one value for each ack, hand-over or fetch.
//!
//! The last two have the start and length of the trial's window. Files of schema version 1 lack them. Lines are in order of
//! their start.

use super::latency::{Counting, KeptInterval, Measure, new_histogram};
use super::{Trial, TrialRecord};
use crate::num;
use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use std::time::{Duration, SystemTime};

const COMMENT: &str = "Latencies, ns. Tag: <point>.<trial>.<measure>, numbered as in result.json: over time. With .records \
                       or .distinct behind it: the whole trial, by record or by ack. Start and length: s. Largest value: ms.";

/// The measured window of a trial.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    /// Time at which the window opened, s since the run started.
    pub(super) start_s: f64,
    /// Length of the window, s.
    pub(super) length_s: f64,
}

impl Window {
    pub(super) fn of(trial: &Trial) -> Self {
        Self { start_s: trial.window_start_s, length_s: trial.window_s }
    }
}

/// Returns the whole file. Its times are seconds since `started`, when the run started. `window_of` returns a trial's window.
pub(super) fn write(
    started: SystemTime,
    trials: &[TrialRecord],
    window_of: impl Fn(&TrialRecord) -> Window,
) -> anyhow::Result<Vec<u8>> {
    let (mut text, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(COMMENT)
        .with_start_time(started)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut text, &mut serializer)?;
    for line in lines(trials, window_of) {
        let Some(histogram) = line.histogram() else { continue };
        let tag =
            Tag::new(&line.tag).expect("numbers and names of this project hold neither spaces nor commas");
        writer
            .write_histogram(&histogram, seconds(line.start_s), seconds(line.length_s), Some(tag))
            .map_err(|error| anyhow!("{error}"))?;
    }
    Ok(text)
}

/// One line of the file. Its histogram is unpacked when it is written, so that all of them are not in memory together.
struct Line<'a> {
    start_s: f64,
    length_s: f64,
    tag: String,
    record: &'a TrialRecord,
    measure: Measure,
    part: Part<'a>,
}

/// The part of a trial that a line holds.
enum Part<'a> {
    Interval(&'a KeptInterval),
    Whole(Counting),
}

impl Line<'_> {
    fn histogram(&self) -> Option<Histogram<u64>> {
        match self.part {
            Part::Interval(interval) => interval.histogram(self.measure),
            Part::Whole(counting) => self.record.histograms.histogram(self.measure, counting),
        }
    }
}

/// Returns the lines of the file in order of their start, as the format wants it.
fn lines<'a>(trials: &'a [TrialRecord], window_of: impl Fn(&TrialRecord) -> Window) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for record in trials {
        let window = window_of(record);
        for measure in Measure::ALL {
            let tag = format!("{}.{}.{}", record.point, record.trial, measure.name());
            lines.extend(record.latency.iter().map(|interval| Line {
                start_s: window.start_s + interval.start_s,
                length_s: interval.length_s,
                tag: tag.clone(),
                record,
                measure,
                part: Part::Interval(interval),
            }));
            lines.extend(Counting::ALL.into_iter().map(|counting| Line {
                start_s: window.start_s,
                length_s: window.length_s,
                tag: format!("{tag}.{}", counting.name()),
                record,
                measure,
                part: Part::Whole(counting),
            }));
        }
    }
    lines.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    lines
}

/// Adds each histogram of a file to the trial that its tag names. `window_start_s` returns when a trial's window opened, s
/// since the run started.
pub(super) fn read(
    file: &[u8],
    trials: &mut [TrialRecord],
    window_start_s: impl Fn(&TrialRecord) -> f64,
) -> anyhow::Result<()> {
    for entry in IntervalLogIterator::new(file) {
        let entry = entry.map_err(|error| anyhow!("not a histogram log: {error:?}"))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let tag = interval.tag().context("an interval has no tag")?;
        let Tagged { point, trial, measure, counting } =
            parse_tag(tag.as_str()).with_context(|| not_a_tag(tag.as_str()))?;
        let record =
            trials.iter_mut().find(|record| (record.point, record.trial) == (point, trial)).with_context(
                || format!("the tag `{}` names a trial that the result does not have", tag.as_str()),
            )?;
        let histogram = decode(&interval)?;
        if let Some(counting) = counting {
            record.histograms.set(measure, counting, &histogram);
            continue;
        }
        let start_s = interval.start_timestamp().as_secs_f64() - window_start_s(record);
        kept_at(&mut record.latency, start_s, interval.duration().as_secs_f64()).set(measure, &histogram);
    }
    Ok(())
}

/// Returns the entry of `latency` that begins at `start_s`, and adds it in order if it is missing. The file has a line for
/// each measure, so several lines share one entry.
fn kept_at(latency: &mut Vec<KeptInterval>, start_s: f64, length_s: f64) -> &mut KeptInterval {
    // The file holds times to the millisecond, so entries within half of one are the same.
    let index = latency.partition_point(|kept| kept.start_s < start_s - 5e-4);
    if latency.get(index).is_none_or(|kept| kept.start_s > start_s + 5e-4) {
        latency.insert(index, KeptInterval::empty(start_s, length_s));
    }
    &mut latency[index]
}

/// The parts of a tag.
struct Tagged {
    point: usize,
    trial: usize,
    measure: Measure,
    /// `None` for a histogram of an interval.
    counting: Option<Counting>,
}

fn parse_tag(tag: &str) -> Option<Tagged> {
    let mut parts = tag.split('.');
    let point = parts.next()?.parse().ok()?;
    let trial = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let measure = Measure::ALL.into_iter().find(|measure| measure.name() == name)?;
    let counting = match parts.next() {
        None => None,
        Some(name) => Some(Counting::ALL.into_iter().find(|counting| counting.name() == name)?),
    };
    parts.next().is_none().then_some(Tagged { point, trial, measure, counting })
}

fn not_a_tag(tag: &str) -> String {
    format!("the tag `{tag}` is not <point>.<trial>.<measure>, alone or with .records or .distinct behind it")
}

/// The histogram of a line, with this project's bounds: callers can add it to others without a check.
fn decode(interval: &IntervalLogHistogram<'_>) -> anyhow::Result<Histogram<u64>> {
    let bytes = STANDARD.decode(interval.encoded_histogram()).context("a histogram is not base64")?;
    let decoded: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| anyhow!("a histogram cannot be decoded: {error}"))?;
    let mut histogram = new_histogram();
    histogram.add(&decoded).map_err(|error| anyhow!("a histogram has values out of range: {error}"))?;
    Ok(histogram)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_nanos(num::u64_of(seconds * 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPENED: Window = Window { start_s: 20.25, length_s: 2.0 };

    fn record(point: usize, trial: usize) -> TrialRecord {
        TrialRecord { point, trial, ..TrialRecord::default() }
    }

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = new_histogram();
        values.iter().for_each(|ns| histogram.record_n(*ns, 3).unwrap());
        histogram
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn what_is_written_is_read_back(
            intervals in prop::collection::vec(prop::collection::vec(1u64..3_600_000_000_000, 1..20), 0..20)
        ) {
            let mut written = record(1, 2);
            for (i, values) in intervals.iter().enumerate() {
                let mut kept = KeptInterval::empty(0.1 * i as f64, 0.1);
                kept.set(Measure::Response, &histogram(values));
                if i % 2 == 0 {
                    kept.set(Measure::Service, &histogram(&values[..1]));
                }
                written.latency.push(kept);
            }
            for (i, values) in intervals.iter().enumerate().take(Measure::ALL.len()) {
                written.histograms.set(Measure::ALL[i], Counting::Records, &histogram(values));
                written.histograms.set(Measure::ALL[i], Counting::Distinct, &histogram(&values[..1]));
            }
            let file = write(SystemTime::UNIX_EPOCH, std::slice::from_ref(&written), |_| OPENED).unwrap();
            let mut back = [record(0, 0), record(1, 2)];
            read(&file, &mut back, |_| OPENED.start_s).unwrap();
            prop_assert!(back[0].histograms.is_empty());
            prop_assert_eq!(&back[1].histograms, &written.histograms);
            prop_assert!(back[0].latency.is_empty());
            prop_assert_eq!(back[1].latency.len(), written.latency.len());
            for (back, written) in back[1].latency.iter().zip(&written.latency) {
                prop_assert!((back.start_s - written.start_s).abs() < 1e-6);
                prop_assert!((back.length_s - written.length_s).abs() < 1e-6);
                for measure in Measure::ALL {
                    prop_assert_eq!(back.histogram(measure), written.histogram(measure));
                }
            }
        }

        #[test]
        fn bytes_that_are_no_log_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut trials = [record(0, 0)];
            let _ = read(&bytes, &mut trials, |_| 0.0);
            let mut line = b"Tag=0.0.service,0.000,1.000,1.000,".to_vec();
            line.extend(STANDARD.encode(&bytes).bytes().chain(*b"\n"));
            let _ = read(&line, &mut trials, |_| 0.0);
        }
    }

    #[test]
    fn lines_are_in_order_of_time() {
        let of_trial = |trial: usize| {
            let mut record = record(0, trial);
            for i in 0..3 {
                let mut kept = KeptInterval::empty(0.5 * f64::from(i), 0.5);
                kept.set(Measure::Response, &histogram(&[5]));
                kept.set(Measure::Service, &histogram(&[4]));
                record.latency.push(kept);
            }
            record.histograms.set(Measure::Response, Counting::Records, &histogram(&[5]));
            record
        };
        // The second trial was repeated, so it was measured after the third.
        let trials = [of_trial(0), of_trial(1), of_trial(2)];
        let window_of =
            |record: &TrialRecord| Window { start_s: [10.0, 30.0, 20.0][record.trial], length_s: 1.5 };
        let file = write(SystemTime::UNIX_EPOCH, &trials, window_of).unwrap();
        let starts: Vec<f64> = String::from_utf8(file)
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("Tag="))
            .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(starts.len(), 3 * (2 * 3 + 1));
        assert!(starts.is_sorted(), "{starts:?}");
    }

    #[test]
    fn a_tag_of_an_unknown_trial_is_refused_by_name() {
        let mut stray = record(7, 0);
        stray.latency.push(KeptInterval::empty(0.0, 1.0));
        stray.latency[0].set(Measure::Response, &histogram(&[5]));
        let file = write(SystemTime::UNIX_EPOCH, &[stray], |_| OPENED).unwrap();
        let error = read(&file, &mut [record(0, 0)], |_| 0.0).unwrap_err().to_string();
        assert!(error.contains("`7.0.response`"), "{error}");
    }

    #[test]
    fn a_tag_names_a_trial_a_measure_and_maybe_a_way_of_counting() {
        let counting = |tag| parse_tag(tag).map(|tagged| tagged.counting);
        assert_eq!(counting("1.2.service"), Some(None));
        assert_eq!(counting("1.2.service.records"), Some(Some(Counting::Records)));
        assert_eq!(counting("1.2.service.distinct"), Some(Some(Counting::Distinct)));
        for tag in
            ["", "1", "1.2", "1.2.other", "1.2.service.other", "1.2.service.records.more", "x.2.service"]
        {
            assert_eq!(counting(tag), None, "{tag}");
        }
    }
}
