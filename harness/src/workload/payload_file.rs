//! Real data as payload: a file cut into lines. A run holds a bounded part of the file in memory.

use crate::num;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The most bytes of a file that are used, from its beginning. Only whole lines are used.
pub(super) const FILE_BYTES_MAX: usize = 64 << 20;

/// The most lines of a file that are used.
pub(super) const LINES_MAX: usize = 1_000_000;

/// How a payload file is cut into records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// One record per line.
    #[default]
    Lines,
    /// Records of `message_size`.
    Size,
}

/// A file of records, as a workload names it.
#[derive(Debug, Clone)]
pub struct PayloadFile {
    /// Path of the file. A relative path begins at the working directory.
    pub path: PathBuf,
    /// How the file is cut into records.
    pub split: Split,
    /// Sizes of the records, or the reason why they cannot be read. They are read when first needed.
    sizes: Arc<OnceLock<Result<LineSizes, String>>>,
}

/// Number and sizes of the records in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSizes {
    /// Number of records.
    pub records: u64,
    /// Bytes of all records together.
    pub bytes: u64,
    /// Bytes of the largest record.
    pub largest_bytes: u64,
    /// Line of the largest record in the file, from 1.
    pub largest_line: u64,
}

/// The part of a file that a run uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Bytes of the file from its beginning.
    pub bytes: Vec<u8>,
    /// Ranges of the records in `bytes`: the lines without their line ends. Empty lines are left out.
    pub records: Vec<Range<usize>>,
    /// Whether the file is longer than the part that is used.
    pub is_part: bool,
    largest_line: u64,
}

impl PartialEq for PayloadFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.split) == (&other.path, other.split)
    }
}

impl PayloadFile {
    /// Returns the file at `path`, which is not read yet.
    pub fn new(path: PathBuf, split: Split) -> Self {
        Self { path, split, sizes: Arc::default() }
    }

    /// Returns the sizes of the file's records. The file is read once.
    ///
    /// # Errors
    /// The file cannot be read or holds no record.
    pub fn sizes(&self) -> Result<LineSizes, &str> {
        let read = || match Lines::read(&self.path) {
            Ok(lines) => Ok(lines.sizes()),
            Err(error) => Err(format!("{error:#}")),
        };
        self.sizes.get_or_init(read).as_ref().copied().map_err(String::as_str)
    }
}

impl Lines {
    /// Reads a file's first 64 MiB or first million lines, whichever is less.
    ///
    /// # Errors
    /// The path is no regular file, the file cannot be read, or it has no line that is not empty.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = read(path).with_context(|| format!("cannot read the payload file {}", path.display()))?;
        let mut lines = Self { bytes, records: Vec::new(), is_part: false, largest_line: 0 };
        let end = lines.cut();
        lines.bytes.truncate(end);
        if !lines.records.is_empty() {
            return Ok(lines);
        }
        let shown = path.display();
        if lines.is_part {
            bail!("the payload file {shown} has no whole line with data in its first {FILE_BYTES_MAX} bytes");
        }
        bail!("the payload file {shown} holds no record: it is empty or has only empty lines");
    }

    /// Finds the records. Returns the position at which the last used line ends.
    fn cut(&mut self) -> usize {
        let is_cut_short = self.bytes.len() > FILE_BYTES_MAX;
        self.bytes.truncate(FILE_BYTES_MAX);
        let (mut start, mut number, mut largest) = (0, 0_u64, 0);
        while start < self.bytes.len() {
            let rest = &self.bytes[start..];
            let length = match rest.iter().position(|byte| *byte == b'\n') {
                Some(length) => length,
                // The line that the bound cuts through is not used.
                None if is_cut_short => break,
                None => rest.len(),
            };
            if self.records.len() == LINES_MAX {
                break;
            }
            number += 1;
            if length > 0 {
                self.records.push(start..start + length);
            }
            if length > largest {
                (largest, self.largest_line) = (length, number);
            }
            start = (start + length + 1).min(self.bytes.len());
        }
        self.is_part = is_cut_short || start < self.bytes.len();
        start
    }

    fn sizes(&self) -> LineSizes {
        LineSizes {
            records: num::count(self.records.len()),
            bytes: num::count(self.records.iter().map(Range::len).sum()),
            largest_bytes: num::count(self.records.iter().map(Range::len).max().unwrap_or(0)),
            largest_line: self.largest_line,
        }
    }

    /// Returns the SHA-256 of the bytes that are used, in hexadecimal.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.bytes).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    // Opening or reading something else, such as a pipe or a device, may never end.
    if !std::fs::metadata(path)?.is_file() {
        bail!("it is not a regular file");
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(num::count(FILE_BYTES_MAX) + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> anyhow::Result<Lines> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data.txt");
        std::fs::write(&path, bytes).unwrap();
        Lines::read(&path)
    }

    fn texts(lines: &Lines) -> Vec<&[u8]> {
        lines.records.iter().map(|range| &lines.bytes[range.clone()]).collect()
    }

    #[test]
    fn a_line_is_a_record_with_or_without_an_end_and_empty_ones_are_left_out() {
        let found = lines(b"one\n\n\nthree\r\n  \nlast").unwrap();
        assert_eq!(texts(&found), [&b"one"[..], b"three\r", b"  ", b"last"]);
        let sizes = LineSizes { records: 4, bytes: 15, largest_bytes: 6, largest_line: 4 };
        assert_eq!((found.sizes(), found.is_part), (sizes, false));
    }

    #[test]
    fn any_bytes_are_data() {
        assert_eq!(texts(&lines(b"\0\xff\n\x80").unwrap()), [&b"\0\xff"[..], b"\x80"]);
    }

    #[test]
    fn of_a_large_file_the_whole_lines_of_its_beginning_are_used() {
        let mut bytes = vec![b'x'; FILE_BYTES_MAX + 10];
        bytes[99] = b'\n';
        bytes[FILE_BYTES_MAX - 50] = b'\n';
        let found = lines(&bytes).unwrap();
        assert_eq!((found.records.len(), found.is_part), (2, true));
        assert_eq!(found.bytes.len(), FILE_BYTES_MAX - 49);
        bytes.fill(b'x');
        assert!(format!("{:#}", lines(&bytes).unwrap_err()).contains("has no whole line"));
    }

    #[test]
    fn no_more_than_a_million_lines_are_used() {
        let found = lines(&b"x\n".repeat(LINES_MAX + 1)).unwrap();
        assert_eq!((found.records.len(), found.is_part), (LINES_MAX, true));
        assert_eq!(found.bytes.len(), 2 * LINES_MAX);
        assert!(!lines(&b"x\n".repeat(LINES_MAX)).unwrap().is_part);
    }

    #[test]
    fn what_is_no_file_or_holds_nothing_is_refused_by_its_path() {
        for empty in [&b""[..], b"\n\n"] {
            let error = format!("{:#}", lines(empty).unwrap_err());
            assert!(error.contains("data.txt holds no record"), "{error}");
        }
        let directory = tempfile::tempdir().unwrap();
        let error = format!("{:#}", Lines::read(directory.path()).unwrap_err());
        assert!(error.contains("not a regular file"), "{error}");
        let missing = directory.path().join("missing");
        assert!(format!("{:#}", Lines::read(&missing).unwrap_err()).contains("missing"));
    }
}
