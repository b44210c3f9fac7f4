//! `latency.hlog`: histograms over time in HdrHistogram's interval log format (V2, compressed), one tag a point, trial and
//! measure, so that HdrHistogram's own tools read it.

use super::TrialRecord;
use super::latency::{KeptInterval, Measure, new_histogram};
use crate::num;
use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use std::time::{Duration, SystemTime};

const COMMENT: &str = "Latencies, ns. Tag: <point>.<trial>.<measure>, numbered as in result.json. Start and length: s. \
                       Largest value: ms.";

/// The whole file. Its times are seconds since `started`; `window_start_s` says when a trial's window opened.
pub(super) fn write(
    started: SystemTime,
    trials: &[TrialRecord],
    window_start_s: impl Fn(&TrialRecord) -> f64,
) -> anyhow::Result<Vec<u8>> {
    let (mut text, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(COMMENT)
        .with_start_time(started)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut text, &mut serializer)?;
    for record in trials {
        let window_start_s = window_start_s(record);
        for measure in Measure::ALL {
            let name = format!("{}.{}.{}", record.point, record.trial, measure.name());
            let tag = Tag::new(&name).expect("numbers and a measure's name hold neither spaces nor commas");
            for interval in &record.latency {
                let Some(histogram) = interval.histogram(measure) else { continue };
                let start = seconds(window_start_s + interval.start_s);
                let written =
                    writer.write_histogram(&histogram, start, seconds(interval.length_s), Some(tag));
                written.map_err(|error| anyhow!("{error}"))?;
            }
        }
    }
    Ok(text)
}

/// Adds each interval of a file to the trial it names; `window_start_s` as in [`write`].
pub(super) fn read(
    file: &[u8],
    trials: &mut [TrialRecord],
    window_start_s: impl Fn(&TrialRecord) -> f64,
) -> anyhow::Result<()> {
    for entry in IntervalLogIterator::new(file) {
        let entry = entry.map_err(|error| anyhow!("it is no histogram log: {error:?}"))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let tag = interval.tag().context("an interval has no tag")?;
        let (point, trial, measure) = parse_tag(tag.as_str())
            .with_context(|| format!("the tag `{}` is not <point>.<trial>.<measure>", tag.as_str()))?;
        let record =
            trials.iter_mut().find(|record| (record.point, record.trial) == (point, trial)).with_context(
                || format!("the tag `{}` names a trial that the result does not have", tag.as_str()),
            )?;
        let start_s = interval.start_timestamp().as_secs_f64() - window_start_s(record);
        let kept = kept_at(&mut record.latency, start_s, interval.duration().as_secs_f64());
        kept.set(measure, &decode(&interval)?);
    }
    Ok(())
}

/// The entry that begins at `start_s`, made in its place if there is none: each measure has a line of its own.
fn kept_at(latency: &mut Vec<KeptInterval>, start_s: f64, length_s: f64) -> &mut KeptInterval {
    // Times are written to the millisecond.
    let index = latency.partition_point(|kept| kept.start_s < start_s - 5e-4);
    if latency.get(index).is_none_or(|kept| kept.start_s > start_s + 5e-4) {
        latency.insert(index, KeptInterval::empty(start_s, length_s));
    }
    &mut latency[index]
}

fn parse_tag(tag: &str) -> Option<(usize, usize, Measure)> {
    let (point, rest) = tag.split_once('.')?;
    let (trial, name) = rest.split_once('.')?;
    let measure = Measure::ALL.into_iter().find(|measure| measure.name() == name)?;
    Some((point.parse().ok()?, trial.parse().ok()?, measure))
}

/// With this project's bounds, so that whoever adds it up later need not check.
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

    const OPENED_S: f64 = 20.25;

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
            let file = write(SystemTime::UNIX_EPOCH, std::slice::from_ref(&written), |_| OPENED_S).unwrap();
            let mut back = [record(0, 0), record(1, 2)];
            read(&file, &mut back, |_| OPENED_S).unwrap();
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
    fn a_tag_of_an_unknown_trial_is_refused_by_name() {
        let mut stray = record(7, 0);
        stray.latency.push(KeptInterval::empty(0.0, 1.0));
        stray.latency[0].set(Measure::Response, &histogram(&[5]));
        let file = write(SystemTime::UNIX_EPOCH, &[stray], |_| 0.0).unwrap();
        let error = read(&file, &mut [record(0, 0)], |_| 0.0).unwrap_err().to_string();
        assert!(error.contains("`7.0.response`"), "{error}");
    }
}
