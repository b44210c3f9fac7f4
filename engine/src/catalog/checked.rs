//! The format of small metadata files. The first line holds the CRC-32C of the rest, 8 hexadecimal digits. Then comes
//! one value as JSON.

use crate::error::{Corruption, CorruptionKind, OpenError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Returns the text of a file that holds `value`.
pub(crate) fn encode<T: Serialize>(value: &T) -> String {
    let json =
        serde_json::to_string_pretty(value).expect("keys are strings and no number is infinite or NaN");
    format!("{:08x}\n{json}\n", crc_of(&json))
}

/// Reads the value in the file `path` from its bytes.
///
/// # Errors
/// [`OpenError::Corrupt`]: the checksum is wrong, or the JSON is no value of type `T`.
pub(crate) fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, OpenError> {
    let corrupt = |what: String| metadata_corrupt(path, what);
    let text = std::str::from_utf8(bytes).map_err(|error| corrupt(error.to_string()))?;
    let (crc, json) = text.split_once('\n').ok_or_else(|| corrupt("no checksum".into()))?;
    let json = json.strip_suffix('\n').unwrap_or(json);
    if u32::from_str_radix(crc, 16).ok() != Some(crc_of(json)) {
        return Err(corrupt("the checksum does not hold".into()));
    }
    serde_json::from_str(json).map_err(|error| corrupt(error.to_string()))
}

fn crc_of(text: &str) -> u32 {
    crc_fast::crc32_iscsi(text.as_bytes())
}

/// Returns the error for a metadata file whose content is not the one that was written.
pub(super) fn metadata_corrupt(path: &Path, what: String) -> OpenError {
    OpenError::Corrupt(Corruption {
        path: path.to_path_buf(),
        position: 0,
        kind: CorruptionKind::Metadata(what),
    })
}
