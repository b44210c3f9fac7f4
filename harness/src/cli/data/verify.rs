//! `vnotch verify`: reads a data directory, and reports what it holds and what is damaged.

mod text;

use crate::cli::{self, Format, Globals};
use crate::escape::visible_lines;
use crate::exit::{ExitStatus, UsageError};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;
use vnotch_engine::verify::{Progress, Report, VerifyError};

/// Arguments of `vnotch verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads every segment, index and checkpoint, the catalog and meta.properties, and checks them against the format of the log. It \
checks the checksum, offset and epoch of each batch, each index entry, and that each segment continues the one before. \
Nothing is changed. While it reads, no engine can open the directory. A directory that an engine has open is refused.

A defect is something that cannot be right: it is damaged, missing, or does not belong to vnotch. A note is something \
that a killed process or a power loss has left behind; the next open puts it in order (`vnotch explain after a crash`).

Examples:
  vnotch run quickstart --data-dir /mnt/nvme/log --keep-data && vnotch verify /mnt/nvme/log
  vnotch verify /mnt/nvme/log --format json | jq '.defects[] | {kind, path, position}'

Exit codes: 0 sound, with or without notes; 1 the disk failed, or the directory is in use; 2 not a data directory, or one of a \
newer version; 6 defects.")]
pub struct Args {
    /// Data directory, as `vnotch run --data-dir` or an engine makes it
    #[arg(value_name = "DATA_DIR")]
    data_dir: PathBuf,
}

/// The JSON document that `--format json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    is_sound: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if the path is no data directory; otherwise the reason why it cannot be read.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    cli::require_dir(&args.data_dir)?;
    let dir = std::path::absolute(&args.data_dir).context("the working directory no longer exists")?;
    let mut bar = Bar::new(globals);
    let verified = vnotch_engine::verify::verify(&dir, &mut |progress| bar.show(progress));
    bar.bar.finish_and_clear();
    let report = match verified {
        Ok(report) => report,
        Err(error @ (VerifyError::NotADataDirectory { .. } | VerifyError::NewerFormat { .. })) => {
            return Err(UsageError::error(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let is_sound = report.is_sound();
    let output = match globals.format {
        Format::Text => visible_lines(&text::render(&report, globals.quiet)),
        Format::Json => {
            let document = Document { kind: "verify", is_sound, report: &report };
            serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n"
        }
    };
    cli::print(&output)?;
    Ok(if is_sound { ExitStatus::Ok } else { ExitStatus::Integrity })
}

/// A progress bar on a terminal, for directories that take long to read.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(globals: Globals) -> Self {
        let is_shown = std::io::stderr().is_terminal() && !globals.quiet;
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template =
            "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec} {msg} ETA {eta}";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(style.expect("the template is a constant that indicatif accepts"));
        bar.enable_steady_tick(Duration::from_secs(1));
        Self { bar }
    }

    fn show(&mut self, progress: &Progress) {
        if self.bar.length() != Some(progress.total_bytes) {
            self.bar.set_length(progress.total_bytes);
        }
        if progress.defects > 0 {
            self.bar.set_message(format!("defects: {}", progress.defects));
        }
        self.bar.set_position(progress.done_bytes);
    }
}
