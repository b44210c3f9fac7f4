//! The steps of a repair, and performing them. Each is durable when it has been performed.

use super::{Plan, RepairError};
use crate::error::{DiskError, DiskOp};
use crate::verify::Window;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// One step of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A directory is made, unless it exists.
    MakeDirectory {
        /// Path of the directory.
        path: PathBuf,
    },
    /// Bytes of a file are copied into a new file. Zeros at their end use no disk space there.
    Copy {
        /// The file that holds the bytes.
        from: PathBuf,
        /// Positions of the bytes.
        bytes: Range<u64>,
        /// The new file.
        to: PathBuf,
    },
    /// A file is moved to another directory.
    Move {
        /// Path of the file.
        from: PathBuf,
        /// The new path, at which nothing exists yet.
        to: PathBuf,
    },
    /// A file is cut to a size.
    Truncate {
        /// Path of the file.
        path: PathBuf,
        /// The new size, bytes.
        bytes: u64,
    },
    /// Parts of a file are overwritten. Each is durable before the next is written. The file is made if it is missing.
    Overwrite {
        /// Path of the file.
        path: PathBuf,
        /// Positions, and the bytes that are written there.
        parts: Vec<(u64, Vec<u8>)>,
    },
    /// A file is replaced as a whole.
    Replace {
        /// Path of the file.
        path: PathBuf,
        /// The new bytes.
        bytes: Vec<u8>,
    },
}

/// Performs the steps of `plan`. `observer` is called before each, and can end the repair there. The result is then
/// [`ControlFlow::Break`].
///
/// # Errors
/// A disk operation failed. Files that were moved away still exist, and the repair can be repeated.
pub fn apply(
    plan: Plan,
    observer: &mut dyn FnMut(&Step) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, RepairError> {
    for step in &plan.steps {
        if observer(step).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        do_step(step)?;
    }
    Ok(ControlFlow::Continue(()))
}

fn do_step(step: &Step) -> Result<(), DiskError> {
    match step {
        Step::MakeDirectory { path } => make_directory(path),
        Step::Copy { from, bytes, to } => copy(from, bytes, to),
        Step::Move { from, to } => {
            rename(from, to)?;
            sync_parent(to)?;
            sync_parent(from)
        }
        Step::Truncate { path, bytes } => {
            let file = open(path, File::options().write(true))?;
            file.set_len(*bytes).map_err(failed(DiskOp::Truncate, path))?;
            file.sync_all().map_err(failed(DiskOp::Sync, path))
        }
        Step::Overwrite { path, parts } => overwrite(path, parts),
        Step::Replace { path, bytes } => {
            let temporary = with_suffix(path, crate::catalog::TEMPORARY_SUFFIX);
            let mut file = open(&temporary, File::options().create(true).truncate(true).write(true))?;
            file.write_all(bytes).map_err(failed(DiskOp::Write, &temporary))?;
            file.sync_all().map_err(failed(DiskOp::Sync, &temporary))?;
            rename(&temporary, path)?;
            sync_parent(path)
        }
    }
}

fn make_directory(path: &Path) -> Result<(), DiskError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(failed(DiskOp::CreateDir, path)(error))
        }
        _ => sync_parent(path),
    }
}

/// Copies into a file of another name first, so that an interrupted copy does not look like a whole one.
fn copy(from: &Path, bytes: &Range<u64>, to: &Path) -> Result<(), DiskError> {
    let incomplete = with_suffix(to, ".incomplete");
    let mut source = open(from, File::options().read(true))?;
    source.seek(SeekFrom::Start(bytes.start)).map_err(failed(DiskOp::Read, from))?;
    let mut target = open(&incomplete, File::options().create(true).truncate(true).write(true))?;
    let wanted = Window::open(from)?.data_end(bytes.start)? - bytes.start;
    let copied =
        std::io::copy(&mut source.take(wanted), &mut target).map_err(failed(DiskOp::Write, &incomplete))?;
    if copied != wanted {
        return Err(failed(DiskOp::Read, from)(std::io::ErrorKind::UnexpectedEof.into()));
    }
    target.set_len(bytes.end - bytes.start).map_err(failed(DiskOp::Truncate, &incomplete))?;
    target.sync_all().map_err(failed(DiskOp::Sync, &incomplete))?;
    rename(&incomplete, to)?;
    sync_parent(to)
}

fn overwrite(path: &Path, parts: &[(u64, Vec<u8>)]) -> Result<(), DiskError> {
    let file = open(path, File::options().create(true).truncate(false).write(true))?;
    sync_parent(path)?;
    for (position, bytes) in parts {
        file.write_all_at(bytes, *position).map_err(failed(DiskOp::Write, path))?;
        file.sync_all().map_err(failed(DiskOp::Sync, path))?;
    }
    Ok(())
}

fn open(path: &Path, options: &fs::OpenOptions) -> Result<File, DiskError> {
    options.open(path).map_err(failed(DiskOp::Open, path))
}

fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(failed(DiskOp::Rename, from))
}

fn sync_parent(path: &Path) -> Result<(), DiskError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let opened = File::open(parent);
    opened.and_then(|dir| dir.sync_all()).map_err(failed(DiskOp::SyncDir, parent))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(op: DiskOp, path: &Path) -> impl FnOnce(std::io::Error) -> DiskError + '_ {
    move |error| DiskError::new(op, path, 0, error)
}
