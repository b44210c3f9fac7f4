//! The log of acks that `--ack-log` asks for: a line for each acked batch. It is written straight after the ack, so
//! that the system has acked every batch in it even if this process is killed.

use crate::system::Ack;
use anyhow::Context as _;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A load thread's handle on the log. The lines of one poll are written with one write, and several threads may append
/// to the same file.
#[derive(Debug)]
pub struct AckLog {
    file: File,
    path: PathBuf,
    lines: String,
}

impl AckLog {
    /// Opens `path` for appending, and creates it if it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the ack log {}", path.display()))?;
        Ok(Self { file, path: path.to_owned(), lines: String::new() })
    }

    /// Adds a line for an acked batch: `topic partition first_offset last_offset`. It is kept in memory until
    /// [`Self::write`].
    pub fn note(&mut self, topic: &str, ack: &Ack) {
        let last = ack.base_offset + u64::from(ack.count) - 1;
        writeln!(self.lines, "{topic} {} {} {last}", ack.partition, ack.base_offset)
            .expect("writing to a String cannot fail");
    }

    /// Writes the lines that were added since the last write.
    ///
    /// # Errors
    /// The file cannot be written. The run must end then, as the log would be incomplete.
    pub fn write(&mut self) -> anyhow::Result<()> {
        if !self.lines.is_empty() {
            let written = self.file.write_all(self.lines.as_bytes());
            written.with_context(|| format!("cannot write the ack log {}", self.path.display()))?;
            self.lines.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_topic_partition_first_and_last_offset() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acks");
        let mut log = AckLog::open(&path).unwrap();
        log.note(
            "t-0",
            &Ack {
                partition: 3,
                base_offset: 100,
                count: 10,
                encoded_bytes: 0,
                completed_at: None,
                result: Ok(()),
            },
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        log.write().unwrap();
        log.note(
            "t-0",
            &Ack {
                partition: 3,
                base_offset: 110,
                count: 1,
                encoded_bytes: 0,
                completed_at: None,
                result: Ok(()),
            },
        );
        log.write().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "t-0 3 100 109\nt-0 3 110 110\n");
    }
}
