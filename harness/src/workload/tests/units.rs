//! Tests of sizes, times and rates: reading is exact, printed values can be read again, ambiguous ones are refused.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

proptest! {
    #[test]
    fn every_size_is_read_as_it_is_printed(bytes: u64, shift in 0_u32..64) {
        let size = Bytes(bytes >> shift << (shift / 2));
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn every_time_is_read_as_it_is_printed(ns: u64, unit in prop::sample::select(vec![1_u64, 1000, 60_000_000_000])) {
        let time = TimeSpan(Duration::from_nanos(ns / unit * unit));
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn every_rate_is_read_as_it_is_printed(rate: u64, percent in 0.001_f64..1000.0) {
        for rate in [Rate::per_s(rate), Rate::per_s(rate / 1000 * 1000), Rate::Share(percent)] {
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }

    #[test]
    fn no_text_panics(text in "[-0-9._%a-zA-Zµ/ ]{0,12}") {
        let _ = text.parse::<Bytes>();
        let _ = text.parse::<TimeSpan>();
        let _ = text.parse::<Rate>();
        let _ = text.parse::<Fraction>();
        let _ = Limit::<Bytes>::try_from(text);
    }
}

#[test]
fn sizes() {
    let read = |text: &str| text.parse::<Bytes>().map(|size| size.0).ok();
    assert_eq!(read("64KiB"), Some(65_536));
    assert_eq!(read("1.5 GiB"), Some(1_610_612_736));
    assert_eq!(read("100B"), Some(100));
    assert_eq!(read("1_048_576"), Some(1_048_576));
    assert_eq!(read("10kB"), Some(10_000));
    assert_eq!(read("10MB"), Some(10_000_000));
    for wrong in ["", "KiB", "1.5", "0.3KiB", "17000000TiB", "64 kib", "1e6", "1.2.3KiB", "5m"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    let refusal = |text: &str| text.parse::<Bytes>().expect_err("it is refused").to_string();
    assert_eq!(
        refusal("128KB"),
        "`128KB` could mean two sizes: write `128KiB` (powers of 1024) or `128kB` (powers of 1000)"
    );
    assert_eq!(refusal("-1KiB"), "a size cannot be negative: `-1KiB`");
    assert_eq!(
        refusal("5 bytes"),
        "`bytes` is not a unit of size; use B, KiB, MiB, GiB (powers of 1024) or kB, MB, GB (powers of 1000)"
    );
}

#[test]
fn times() {
    let read = |text: &str| text.parse::<TimeSpan>().map(|time| time.0).ok();
    assert_eq!(read("30s"), Some(Duration::from_secs(30)));
    assert_eq!(read("1m30s"), Some(Duration::from_secs(90)));
    assert_eq!(read("0.5ms"), Some(Duration::from_micros(500)));
    assert_eq!(read("250µs"), Some(Duration::from_micros(250)));
    assert_eq!(read("7d"), Some(Duration::from_secs(604_800)));
    assert_eq!(read("0"), Some(Duration::ZERO));
    let refusal = |text: &str| text.parse::<TimeSpan>().expect_err("it is refused").to_string();
    assert_eq!(refusal("30"), "`30` needs a unit: `30s`, `30ms`, `30m` …");
    assert_eq!(refusal("10M"), "`M` in `10M` is not a unit of time; use ns, us, ms, s, m (minutes), h or d");
    assert_eq!(refusal("-5s"), "a time cannot be negative: `-5s`");
    assert_eq!(refusal("soon"), "`soon` is not a time; write it like `30s`, `250ms` or `1m30s`");
    assert_eq!(refusal("0.5ns"), "`0.5ns` is not a whole number of nanoseconds below 584 years");
}

#[test]
fn rates() {
    let read = |text: &str| text.parse::<Rate>().ok();
    for text in ["200k/s", "200k", "200000", "0.2M/s"] {
        assert_eq!(read(text), Some(Rate::per_s(200_000)), "{text}");
    }
    for text in ["0.5/s", "30/min", "0.0005k/s", "0.03k/min", "0.5"] {
        assert_eq!(read(text).unwrap().to_string(), "30/min", "{text}");
    }
    for (text, printed) in
        [("60/min", "1/s"), ("1/min", "1/min"), ("0.001/min", "0.001/min"), ("1.5/min", "1.5/min")]
    {
        assert_eq!(read(text).unwrap().to_string(), printed);
    }
    assert!((read("30/min").unwrap().records_per_s(0.0) - 0.5).abs() < 1e-12);
    assert_eq!(read("50%"), Some(Rate::Share(50.0)));
    assert!((Rate::Share(50.0).records_per_s(1001.0) - 501.0).abs() < 1e-9);
    assert!((Rate::per_s(7).records_per_s(1001.0) - 7.0).abs() < 1e-9);
    for wrong in ["", "fast", "-1", "1K/s", "5/hour", "NaN%", "-3%", "0.00000001/s", "0.00001/min"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    assert_eq!(
        "5MB/s".parse::<Rate>().expect_err("it is refused").to_string(),
        "a rate counts records, not bytes: write `200k/s` (records per second) or `50%`, not `5MB/s`"
    );
}

#[test]
fn a_limit_may_be_none_in_either_spelling() {
    let workload = |retention| parse(&format!("log: {{segment_ms: {retention}}}"), "t", &[]);
    assert_eq!(workload("none").unwrap().log.segment_ms, Limit::NONE);
    assert_eq!(workload("-1").unwrap().log.segment_ms, Limit::NONE);
    assert!(workload("-2").is_err());
}
