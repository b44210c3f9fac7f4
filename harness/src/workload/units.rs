//! Sizes, times, rates and fractions as people write them, each with its unit. Parsing is exact and never guesses.
//!
//! Every type prints a form that it can read: with the largest unit in which the value is a whole number.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The reason why a text is not a size, a time or a rate: one sentence that suggests what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

impl UnitError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Implements a type's `String` conversions with its `FromStr` and `Display`, so that serde reads and writes that form.
macro_rules! written_as_text {
    ($name:ty) => {
        impl TryFrom<String> for $name {
            type Error = <$name as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use written_as_text;

/// A number of bytes. Written as `64KiB`, `100B`, `1.5GiB`, `10MB` or a plain count of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

/// A length of time, to the nanosecond. Written as `30s`, `250ms`, `1m30s`; a plain number only if it is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan(pub Duration);

/// A rate of records: `200k/s`, `1.5M/s`, `0.5/s`, `30/min`, `5000` (a second), or `50%` of the rate that the run itself
/// reaches at `max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rate {
    /// A number of records in a time, all producers together.
    Absolute(RecordRate),
    /// Percent of the run's own measured maximum.
    Share(f64),
}

/// A number of records in a time, exact to a thousandth of a record a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordRate {
    milli_per_min: u64,
}

/// A part of a whole, 0 to 1. Written as `0.99` or `99%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "NumberOrText", into = "f64")]
pub struct Fraction(pub f64);

/// A value, or no limit at all. No limit is written `none` or, as Kafka does, `-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound(
        serialize = "T: Clone + fmt::Display",
        deserialize = "T: FromStr, <T as FromStr>::Err: fmt::Display"
    )
)]
pub struct Limit<T>(pub Option<T>);

impl Bytes {
    /// Returns `n` × 1024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// Returns `n` × 1024² bytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// Returns `n` × 1024³ bytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }
}

impl TimeSpan {
    /// Returns `n` seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl Rate {
    /// Returns a rate of `records` records a second.
    pub const fn per_s(records: u64) -> Self {
        Self::Absolute(RecordRate::per_s(records))
    }

    /// Returns records per second. A share is taken of `measured_max`, the rate that the run reached at `max`. It is at
    /// least 1, so that a slow target still gets load.
    pub fn records_per_s(self, measured_max: f64) -> f64 {
        match self {
            Self::Absolute(rate) => rate.records_per_s(),
            Self::Share(percent) => (measured_max * percent / 100.0).round().max(1.0),
        }
    }
}

impl RecordRate {
    /// No records.
    pub const ZERO: Self = Self { milli_per_min: 0 };

    /// Returns a rate of `records` records a second, or the highest rate if that is higher.
    pub const fn per_s(records: u64) -> Self {
        Self { milli_per_min: records.saturating_mul(MILLI_PER_MIN_PER_S) }
    }

    /// Returns a rate of this many thousandths of a record a minute.
    pub const fn new(milli_per_min: u64) -> Self {
        Self { milli_per_min }
    }

    /// Returns the rate in thousandths of a record a minute.
    pub const fn milli_per_min(self) -> u64 {
        self.milli_per_min
    }

    /// Returns the rate in records a second.
    pub fn records_per_s(self) -> f64 {
        crate::num::f64_of(self.milli_per_min) / crate::num::f64_of(MILLI_PER_MIN_PER_S)
    }
}

/// One record a second, in thousandths of a record a minute.
const MILLI_PER_MIN_PER_S: u64 = 60_000;

impl<T> Limit<T> {
    /// The value for no limit.
    pub const NONE: Self = Self(None);
}

const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// Units of time in nanoseconds. If a unit has two spellings, the first one is printed.
const TIME_UNITS: [(&str, u64); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

const RATE_UNITS: [(&str, u64); 3] = [("M", 1_000_000), ("k", 1_000), ("", 1)];

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(UnitError(format!("a size cannot be negative: `{text}`")));
        }
        let (number, unit) = split_number(text);
        if number.is_empty() {
            return Err(UnitError(format!(
                "`{text}` is not a size; write it like `64KiB`, `100B` or `1.5GiB`"
            )));
        }
        let unit = unit.trim_start();
        let factor = if unit.is_empty() { Some(1) } else { factor_of(&BYTE_UNITS, unit) };
        let Some(factor) = factor else { return Err(wrong_byte_unit(number, unit)) };
        exactly(number, factor).map(Self).ok_or_else(|| {
            UnitError(format!(
                "`{text}` is not a whole number of bytes below 2^64; write it in a smaller unit"
            ))
        })
    }
}

/// Returns the error for an ambiguous or unknown unit, with the units that were probably meant.
fn wrong_byte_unit(number: &str, unit: &str) -> UnitError {
    let (binary, decimal) = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => ("KiB", "kB"),
        "m" | "mb" | "mib" => ("MiB", "MB"),
        "g" | "gb" | "gib" => ("GiB", "GB"),
        "t" | "tb" | "tib" => ("TiB", "TB"),
        _ => {
            return UnitError(format!(
                "`{unit}` is not a unit of size; use B, KiB, MiB, GiB (powers of 1024) or kB, MB, GB (powers of 1000)"
            ));
        }
    };
    UnitError(format!(
        "`{number}{unit}` could mean two sizes: write `{number}{binary}` (powers of 1024) or `{number}{decimal}` \
         (powers of 1000)"
    ))
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = largest_exact(&BYTE_UNITS[..5], self.0);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for TimeSpan {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(UnitError(format!("a time cannot be negative: `{text}`")));
        }
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut total_ns = 0_u64;
        let mut rest = text;
        while !rest.is_empty() {
            let (number, after) = split_number(rest);
            let after = after.trim_start();
            let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(end);
            let factor = time_factor(text, number, unit.trim_end())?;
            let part_ns = exactly(number, factor);
            total_ns = part_ns.and_then(|ns| total_ns.checked_add(ns)).ok_or_else(|| {
                UnitError(format!("`{text}` is not a whole number of nanoseconds below 584 years"))
            })?;
            rest = next;
        }
        if text.is_empty() {
            return Err(UnitError("a time is missing; write it like `30s` or `250ms`".into()));
        }
        Ok(Self(Duration::from_nanos(total_ns)))
    }
}

fn time_factor(text: &str, number: &str, unit: &str) -> Result<u64, UnitError> {
    if number.is_empty() {
        return Err(UnitError(format!("`{text}` is not a time; write it like `30s`, `250ms` or `1m30s`")));
    }
    if unit.is_empty() {
        return Err(UnitError(format!("`{text}` needs a unit: `{number}s`, `{number}ms`, `{number}m` …")));
    }
    factor_of(&TIME_UNITS, unit).ok_or_else(|| {
        UnitError(format!(
            "`{unit}` in `{text}` is not a unit of time; use ns, us, ms, s, m (minutes), h or d"
        ))
    })
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = crate::num::ns_of(self.0);
        let (unit, factor) = if ns == 0 { ("s", 1) } else { largest_exact(&TIME_UNITS, ns) };
        write!(f, "{}{unit}", ns / factor)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(UnitError(format!("a rate cannot be negative: `{text}`")));
        }
        if let Some(number) = text.strip_suffix('%') {
            return match percent_of(number) {
                Some(percent) => Ok(Self::Share(percent)),
                None => {
                    Err(UnitError(format!("`{text}` is not a share of the maximum; write it like `50%`")))
                }
            };
        }
        let (records, milli_per_min) = match text.strip_suffix("/min") {
            Some(records) => (records, 1000),
            None => (text.strip_suffix("/s").unwrap_or(text), MILLI_PER_MIN_PER_S),
        };
        let (number, unit) = split_number(records);
        if unit.ends_with(['B', 'b']) {
            let why = "a rate counts records, not bytes";
            return Err(UnitError(format!(
                "{why}: write `200k/s` (records per second) or `50%`, not `{text}`"
            )));
        }
        factor_of(&RATE_UNITS, unit)
            .and_then(|factor| exactly(number, factor * milli_per_min))
            .map(|milli_per_min| Self::Absolute(RecordRate { milli_per_min }))
            .ok_or_else(|| {
                UnitError(format!(
                    "`{text}` is not a rate; write records per second (`200k/s`, `0.5/s`), per minute (`30/min`), or `50%`"
                ))
            })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::Absolute(rate) => rate.fmt(f),
        }
    }
}

impl fmt::Display for RecordRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = self.milli_per_min;
        if milli.is_multiple_of(MILLI_PER_MIN_PER_S) {
            let rate = milli / MILLI_PER_MIN_PER_S;
            let (unit, factor) = largest_exact(&RATE_UNITS, rate);
            return write!(f, "{}{unit}/s", rate / factor);
        }
        // A rate that is no whole number a second is written a minute, where it has three decimals at most.
        let (whole, thousandths) = (milli / 1000, milli % 1000);
        let decimals = if thousandths == 0 { String::new() } else { format!(".{thousandths:03}") };
        write!(f, "{whole}{}/min", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Fraction {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let value = match text.strip_suffix('%') {
            Some(number) => percent_of(number).map(|percent| percent / 100.0),
            None => text.parse().ok(),
        };
        match value {
            Some(value) if (0.0..=1.0).contains(&value) => Ok(Self(value)),
            _ => Err(UnitError(format!(
                "`{text}` is not a fraction; write a number from 0 to 1, or a percentage like `99%`"
            ))),
        }
    }
}

impl TryFrom<NumberOrText> for Fraction {
    type Error = UnitError;

    fn try_from(written: NumberOrText) -> Result<Self, UnitError> {
        written.0.parse()
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

impl<T> TryFrom<String> for Limit<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        match text.trim() {
            "none" | "-1" => Ok(Self(None)),
            text => match text.parse() {
                Ok(value) => Ok(Self(Some(value))),
                Err(error) => Err(UnitError(format!("{error} (or `none` for no limit)"))),
            },
        }
    }
}

impl<T: fmt::Display> From<Limit<T>> for String {
    fn from(limit: Limit<T>) -> Self {
        limit.to_string()
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

written_as_text!(Bytes);
written_as_text!(TimeSpan);
written_as_text!(Rate);

/// A scalar that may be written bare: its text, even if the format returns it as a number.
struct NumberOrText(String);

impl<'de> Deserialize<'de> for NumberOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsText;

        impl Visitor<'_> for AsText {
            type Value = NumberOrText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<NumberOrText, E> {
                Ok(NumberOrText(text.to_owned()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }
        }

        deserializer.deserialize_any(AsText)
    }
}

/// Splits `1.5GiB` into `1.5` and `GiB`.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn factor_of(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|&(_, factor)| factor)
}

/// Returns a decimal number times `factor`, if the product is a whole number that fits.
fn exactly(number: &str, factor: u64) -> Option<u64> {
    let number = number.replace('_', "");
    let (whole, decimals) = number.split_once('.').unwrap_or((&number, ""));
    let denominator = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let numerator: u128 = format!("{whole}{decimals}").parse().ok()?;
    let product = numerator.checked_mul(u128::from(factor))?;
    if product.is_multiple_of(denominator) { u64::try_from(product / denominator).ok() } else { None }
}

/// Returns the first unit (largest first) of which `value` is a multiple. Zero counts as a multiple of the smallest
/// only.
fn largest_exact<'u>(units: &[(&'u str, u64)], value: u64) -> (&'u str, u64) {
    let fits = |&&(_, factor): &&(&str, u64)| value.is_multiple_of(factor) && (value > 0 || factor == 1);
    units.iter().find(fits).copied().unwrap_or(("", 1))
}

fn percent_of(number: &str) -> Option<f64> {
    let percent: f64 = number.trim_end().parse().ok()?;
    (percent.is_finite() && percent >= 0.0).then_some(percent)
}
