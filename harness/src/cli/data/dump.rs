//! `vnotch dump`: prints the batches and records of a segment, or the entries of an index.

mod index;
mod internal;
mod line;
mod segment;
mod shown;

use crate::cli::{Format, Globals};
use crate::escape::visible_lines;
use crate::exit::{ExitStatus, UsageError};
use anyhow::Context as _;
use line::Line;
use std::io::{BufWriter, StdoutLock, Write as _};
use std::path::{Path, PathBuf};

/// Arguments of `vnotch dump`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints what Kafka's kafka-dump-log prints, in the same form: a line for each batch of a segment (.log) and, with --records, a \
line for each of its records. Of an index it prints each entry: offset and position (.index), or timestamp and offset \
(.timeindex). Only the file's own bytes are read, so a copy of a file will do, and the engine may be running.

Keys and payloads are shown as text. A backslash is shown as \\\\, a line break as \\n, a byte that is no UTF-8 as \\xff. The \
records of a compressed batch are not decoded.

Records of __consumer_offsets, which hold the consumer groups and their committed offsets, are shown decoded too. A record that \
does not decode is a finding. The topic is known by the name of the directory that holds the file.

It ends where the batches end. In a segment that is not sealed, zeros may follow, or batches of the file's earlier use: that is \
a note. Bytes that can only be damage are a finding. `vnotch verify` checks all files of a data directory against each other.

With --format json each line is one JSON object; its key `kind` says which: file, batch, record, entry, note, finding.

Examples:
  vnotch dump /mnt/nvme/log/bench-0-0/00000000000000000000.log | head
  vnotch dump /mnt/nvme/log/orders-3/00000000000000120000.log --records --bytes 80
  vnotch dump /mnt/nvme/log/__consumer_offsets-3/00000000000000000000.log --records | grep -o 'decoded: .*'
  vnotch dump /mnt/nvme/log/orders-3/00000000000000120000.log --format json | jq 'select(.kind == \"batch\") | .count'

Exit codes: 0 the whole file is shown, with or without notes; 1 the disk failed; 2 no such file, or none that this verb reads; \
6 findings.")]
pub struct Args {
    /// Segment (.log), offset index (.index) or time index (.timeindex)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the records of each batch too
    #[arg(long)]
    records: bool,
    /// Most bytes of each key and payload to print [default: all]
    #[arg(long, value_name = "N", requires = "records")]
    bytes: Option<usize>,
}

/// The kinds of files that the verb reads, by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    /// A segment, or a copy of a part of one.
    Segment,
    /// An offset index.
    OffsetIndex,
    /// A time index.
    TimeIndex,
}

impl FileKind {
    /// Returns the kind that a file's name says. A file of another name may be a copy of a segment.
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("index") => Self::OffsetIndex,
            Some("timeindex") => Self::TimeIndex,
            _ => Self::Segment,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if there is no such file or it is of no kind that the verb reads. Otherwise the reason why it cannot
/// be read or its contents cannot be printed.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    let path = std::path::absolute(&args.file).context("the working directory no longer exists")?;
    require_file(&args.file)?;
    let mut out = Output { lines: BufWriter::new(std::io::stdout().lock()), globals, has_findings: false };
    let kind = FileKind::of(&path);
    if kind != FileKind::Segment && args.records {
        return Err(UsageError::error("--records is for segments (.log): an index has no records"));
    }
    match kind {
        FileKind::Segment => segment::dump(&path, args, &mut out)?,
        FileKind::OffsetIndex => index::dump_offsets(&path, &mut out)?,
        FileKind::TimeIndex => index::dump_times(&path, &mut out)?,
    }
    out.finish()
}

/// Refuses a path that is not a file.
fn require_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => Err(UsageError::error(format!(
            "{} is a directory: name one of the files in it, or read all of them with `vnotch verify`",
            path.display()
        ))),
        Ok(_) => Err(UsageError::error(format!("{} is not a regular file", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(UsageError::error(format!("there is no file `{}`", path.display())))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Standard output, line by line.
struct Output {
    lines: BufWriter<StdoutLock<'static>>,
    globals: Globals,
    /// Whether a finding was printed.
    has_findings: bool,
}

impl Output {
    /// Prints a line. `--quiet` leaves out the name of the file and the notes.
    fn print(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        self.has_findings |= matches!(line, Line::Finding { .. });
        if self.globals.quiet && matches!(line, Line::File { .. } | Line::Note { .. }) {
            return Ok(());
        }
        let text = match self.globals.format {
            // Keys, payloads and the path come from elsewhere.
            Format::Text => visible_lines(&line.text()),
            Format::Json => serde_json::to_string(line).context("cannot write JSON")?,
        };
        writeln!(self.lines, "{text}").context("cannot write to standard output")
    }

    /// Writes what is buffered. Returns the exit code.
    fn finish(mut self) -> anyhow::Result<ExitStatus> {
        self.lines.flush().context("cannot write to standard output")?;
        Ok(if self.has_findings { ExitStatus::Integrity } else { ExitStatus::Ok })
    }
}
