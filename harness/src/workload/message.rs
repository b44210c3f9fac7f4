//! Records: their size, their bytes, and the partition that each one is sent to.

use super::payload_file::{PayloadFile, Split};
use super::units::{Bytes, Fraction, UnitError, written_as_text};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Size of a record's value in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MessageSize {
    /// Every record has the same size.
    Fixed(Bytes),
    /// Sizes are uniform between two bounds.
    Range(SizeRange),
    /// Each size is one of several, chosen by weight.
    Weighted(Vec<WeightedSize>),
}

/// Sizes between `min` and `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeRange {
    /// Smallest size.
    pub min: Bytes,
    /// Largest size.
    pub max: Bytes,
}

/// One entry of a weighted list of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedSize {
    /// Size of the record's value.
    pub size: Bytes,
    /// Share of this size, relative to the sum of all weights.
    pub weight: f64,
}

impl MessageSize {
    /// Returns the smallest size that a record can have.
    pub fn smallest(&self) -> Bytes {
        match self {
            Self::Fixed(size) => *size,
            Self::Range(range) => range.min,
            Self::Weighted(list) => list.iter().map(|entry| entry.size).min().unwrap_or_default(),
        }
    }

    /// Returns the largest size that a record can have.
    pub fn largest(&self) -> Bytes {
        match self {
            Self::Fixed(size) => *size,
            Self::Range(range) => range.max,
            Self::Weighted(list) => list.iter().map(|entry| entry.size).max().unwrap_or_default(),
        }
    }

    /// Returns the mean size of a record's value, in bytes.
    pub fn mean_bytes(&self) -> f64 {
        let bytes = |size: Bytes| crate::num::f64_of(size.0);
        match self {
            Self::Fixed(size) => bytes(*size),
            Self::Range(range) => f64::midpoint(bytes(range.min), bytes(range.max)),
            Self::Weighted(list) => {
                let total: f64 = list.iter().map(|entry| entry.weight).sum();
                list.iter().map(|entry| bytes(entry.size) * entry.weight).sum::<f64>() / total
            }
        }
    }
}

/// The content of the records' values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PayloadKeys", into = "PayloadKeys")]
pub struct Payload {
    /// Seed for everything random in the run: payloads, sizes, keys.
    pub seed: u64,
    /// Source of the bytes.
    pub source: PayloadSource,
}

/// The source of a record's bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum PayloadSource {
    /// Values are generated before the run.
    Random {
        /// Part of each value that compression can remove, 0 to 1.
        compressibility: Fraction,
        /// Number of different values that are generated.
        pool: u32,
    },
    /// Values are the lines of a file.
    File(PayloadFile),
}

impl Default for Payload {
    fn default() -> Self {
        Self { seed: 42, source: PayloadSource::Random { compressibility: Fraction(0.0), pool: 1000 } }
    }
}

/// `payload` as a file writes it. Both kinds share one flat struct, so that a key of the other kind can be told from an
/// unknown one.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PayloadKeys {
    kind: PayloadKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    compressibility: Option<Fraction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PayloadKind {
    #[default]
    Random,
    File,
}

impl TryFrom<PayloadKeys> for Payload {
    type Error = &'static str;

    fn try_from(keys: PayloadKeys) -> Result<Self, Self::Error> {
        let default = Self::default();
        let source = match keys.kind {
            PayloadKind::Random if keys.path.is_some() => return Err("`path` belongs to `kind: file` only"),
            PayloadKind::Random if keys.split.is_some() => {
                return Err("`split` belongs to `kind: file` only");
            }
            PayloadKind::Random => PayloadSource::Random {
                compressibility: keys.compressibility.unwrap_or(Fraction(0.0)),
                pool: keys.pool.unwrap_or(1000),
            },
            PayloadKind::File if keys.compressibility.is_some() => {
                return Err("`compressibility` belongs to `kind: random` only");
            }
            PayloadKind::File if keys.pool.is_some() => return Err("`pool` belongs to `kind: random` only"),
            PayloadKind::File => {
                let path = keys.path.ok_or("`kind`: `file` needs a `path`")?;
                PayloadSource::File(PayloadFile::new(path, keys.split.unwrap_or_default()))
            }
        };
        Ok(Self { seed: keys.seed.unwrap_or(default.seed), source })
    }
}

impl From<Payload> for PayloadKeys {
    fn from(payload: Payload) -> Self {
        let keys = Self { seed: Some(payload.seed), ..Self::default() };
        match payload.source {
            PayloadSource::Random { compressibility, pool } => Self {
                kind: PayloadKind::Random,
                compressibility: Some(compressibility),
                pool: Some(pool),
                ..keys
            },
            PayloadSource::File(file) => {
                Self { kind: PayloadKind::File, path: Some(file.path), split: Some(file.split), ..keys }
            }
        }
    }
}

/// The choice of a record's partition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyDistribution {
    /// No key: a producer fills the batch of one partition, then changes to another (Kafka's sticky partitioner).
    None,
    /// No key: each record goes to the next partition.
    RoundRobin,
    /// A random key for each record, hashed with murmur2 as Kafka does.
    Uniform,
    /// Keys drawn from a Zipf distribution with this exponent.
    Zipf(f64),
}

impl<'de> Deserialize<'de> for MessageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MessageSizeVisitor)
    }
}

struct MessageSizeVisitor;

impl<'de> Visitor<'de> for MessageSizeVisitor {
    type Value = MessageSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size, `{min: …, max: …}` or a list of `{size: …, weight: …}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<MessageSize, E> {
        text.parse().map(MessageSize::Fixed).map_err(E::custom)
    }

    fn visit_u64<E>(self, bytes: u64) -> Result<MessageSize, E> {
        Ok(MessageSize::Fixed(Bytes(bytes)))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<MessageSize, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_f64<E: de::Error>(self, bytes: f64) -> Result<MessageSize, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MessageSize, A::Error> {
        SizeRange::deserialize(de::value::MapAccessDeserializer::new(map)).map(MessageSize::Range)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<MessageSize, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(MessageSize::Weighted)
    }
}

impl FromStr for KeyDistribution {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "none" => Ok(Self::None),
            "round_robin" => Ok(Self::RoundRobin),
            "uniform" => Ok(Self::Uniform),
            _ => match text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok()) {
                Some(exponent) if exponent > 0.0 => Ok(Self::Zipf(exponent)),
                _ => Err(UnitError::new(format!(
                    "`{text}` is not a key distribution; use none, round_robin, uniform or zipf:1.1"
                ))),
            },
        }
    }
}

impl fmt::Display for KeyDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::RoundRobin => f.write_str("round_robin"),
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(exponent) => write!(f, "zipf:{exponent}"),
        }
    }
}

written_as_text!(KeyDistribution);
