//! The identity of a data directory: the file `meta.properties`.

use super::checked::metadata_corrupt;
use crate::error::OpenError;
use std::collections::BTreeMap;
use std::path::Path;

/// The newest format this version reads and writes.
pub const FORMAT_VERSION: u32 = 2;

/// Name of the file that identifies a data directory.
pub const META_FILE: &str = "meta.properties";

/// The contents of the file `meta.properties`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Id of the directory: random, 32 hex digits.
    pub id: String,
    /// Number of shards that the directory was last opened with.
    pub shards: u32,
    /// The format that the directory was last written in.
    pub version: u32,
}

impl Meta {
    /// Makes the identity of a new directory.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub(super) fn new(shards: u32) -> Result<Self, OpenError> {
        Ok(Self { id: random_id()?, shards, version: FORMAT_VERSION })
    }

    /// Returns the text of the file, in the newest format.
    pub(super) fn encode(&self) -> String {
        format!("version={FORMAT_VERSION}\nid={}\nshards={}\n", self.id, self.shards)
    }

    /// Reads `meta.properties` of `data_dir` from its bytes.
    ///
    /// # Errors
    /// The file has a newer version, or a value is missing or wrong.
    pub fn decode(data_dir: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let values: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once('=')).collect();
        let value = |key: &str| values.get(key).copied();
        let corrupt = |what: &str| metadata_corrupt(&data_dir.join(META_FILE), what.to_owned());
        let number = |key: &str| value(key).and_then(|text| text.parse::<u32>().ok());
        let found = number("version").ok_or_else(|| corrupt("no version=<number>"))?;
        if found > FORMAT_VERSION {
            let path = data_dir.to_path_buf();
            return Err(OpenError::NewerFormat { path, found, supported: FORMAT_VERSION });
        }
        Ok(Self {
            id: value("id").ok_or_else(|| corrupt("no id="))?.to_owned(),
            shards: number("shards").ok_or_else(|| corrupt("no shards=<number>"))?,
            version: found,
        })
    }
}

fn random_id() -> Result<String, OpenError> {
    let mut bytes = [0u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|error| OpenError::Config(format!("the kernel gives no random bytes: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
