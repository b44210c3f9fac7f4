//! The process that makes one trial: started, watched, and ended if the user interrupts or if it takes too long.
//!
//! The process is in a process group of its own, so a Ctrl-C in the terminal reaches this process only. A parent that dies
//! takes the child with it: the child asks the kernel for a signal before it executes the binary ([`become_child`]).

use super::binary::Binary;
use crate::stderr;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, getppid, kill_process_group, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The hidden verb that runs [`become_child`].
pub(crate) const VERB: &str = "run-with-parent";

/// How often the process is looked at. Seldom, so that the parent takes no CPU time from the trial.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks between two ticks.
const LOOKS_A_TICK: u32 = 20;

/// The time in which an interrupted process has to remove its data and end. Then it is killed.
const GRACE: Duration = Duration::from_secs(20);

/// A process to run.
pub(crate) struct Request<'a> {
    /// The binary.
    pub(crate) binary: &'a Binary,
    /// Its arguments.
    pub(crate) arguments: &'a [OsString],
    /// Variables of its environment, beside those of this process.
    pub(crate) environment: &'a [(&'static str, String)],
    /// The directory for the files with its output.
    pub(crate) dir: &'a Path,
    /// The time in which it has to end.
    pub(crate) limit: Duration,
    /// Set when the user interrupts.
    pub(crate) stop: &'a AtomicBool,
    /// Called about once a second while the process runs.
    pub(crate) tick: &'a dyn Fn(),
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process ended with this status.
    Status(ExitStatus),
    /// The process was stopped, because the user interrupted the comparison.
    Interrupted,
    /// The process was stopped, because it took longer than this.
    TooLong(Duration),
}

/// The output of a process that has ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// How it ended.
    pub(crate) ended: Ended,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs a process to its end.
///
/// # Errors
/// The process cannot be started, or its output cannot be kept.
pub(crate) fn run(request: &Request<'_>) -> anyhow::Result<Output> {
    let place = |name: &str| request.dir.join(name);
    let create = |name: &str| {
        File::create(place(name)).with_context(|| format!("cannot write {}", place(name).display()))
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg(VERB).arg(std::process::id().to_string()).arg("--").arg(request.binary.file());
    command.envs(request.environment.iter().map(|(name, value)| (*name, value)));
    command.args(request.arguments).process_group(0).stdin(Stdio::null());
    command.stdout(create("stdout")?).stderr(create("stderr")?);
    let mut child = command.spawn().context("cannot start a process")?;
    let ended = watch(&mut child, request)?;
    let read = |name: &str| {
        std::fs::read(place(name)).with_context(|| format!("cannot read {}", place(name).display()))
    };
    let stderr = String::from_utf8_lossy(&read("stderr")?).into_owned();
    Ok(Output { ended, stdout: read("stdout")?, stderr })
}

/// Waits until the process has ended.
fn watch(child: &mut Child, request: &Request<'_>) -> anyhow::Result<Ended> {
    let (began, mut looks) = (Instant::now(), 0_u32);
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a process")? {
            return Ok(Ended::Status(status));
        }
        if request.stop.load(Ordering::SeqCst) {
            end(child)?;
            return Ok(Ended::Interrupted);
        }
        if began.elapsed() > request.limit {
            end(child)?;
            return Ok(Ended::TooLong(request.limit));
        }
        std::thread::sleep(LOOK_EVERY);
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_A_TICK) {
            (request.tick)();
        }
    }
}

/// Ends a process: first in the way that lets it remove its data, and by force after [`GRACE`].
fn end(child: &mut Child) -> anyhow::Result<()> {
    // The process leads its group until it is waited for, so its id names no other group.
    let group = Pid::from_child(child);
    for (signal, time) in [(Signal::TERM, GRACE), (Signal::KILL, Duration::MAX)] {
        // The group is gone if the process has just ended.
        let _ = kill_process_group(group, signal);
        let began = Instant::now();
        while began.elapsed() < time {
            if child.try_wait().context("cannot wait for a process")?.is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        stderr::line("vnotch: a trial does not end by itself and is killed");
    }
    Ok(())
}

impl Output {
    /// The last line of standard error, without the program's name; the status if there is none.
    pub(crate) fn complaint(&self) -> String {
        let last = self.stderr.lines().rev().find(|line| !line.trim().is_empty());
        let said = last.map(|line| line.strip_prefix("vnotch: ").unwrap_or(line).to_owned());
        match (said, &self.ended) {
            (_, Ended::Interrupted) => "interrupted".to_owned(),
            (_, Ended::TooLong(limit)) => format!("it did not end within {} s", limit.as_secs()),
            (Some(said), Ended::Status(status)) if status.signal().is_none() => said,
            (_, Ended::Status(status)) => format!("it ended without a result: {status}"),
        }
    }

    /// The exit code, if the process ended with one.
    pub(crate) fn code(&self) -> Option<i32> {
        match &self.ended {
            Ended::Status(status) => status.code(),
            Ended::Interrupted | Ended::TooLong(_) => None,
        }
    }
}

/// Replaces this process by `command`, after asking the kernel to end it when its parent dies. Returns only an error.
///
/// # Errors
/// The parent is not `parent`, so it has ended already; or the command cannot be executed.
pub(crate) fn become_child(parent: u32, command: &[OsString]) -> anyhow::Result<std::convert::Infallible> {
    let [program, arguments @ ..] = command else { bail!("no command to execute") };
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot watch the parent process")?;
    // The parent may have died before the request. Then no signal comes.
    let is_alive = getppid().is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent));
    if !is_alive {
        bail!("the parent process has ended");
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot execute {}", Path::new(program).display()))
}
