//! What tests of the command line need: the binary under test, how it ended, and machines that lack something.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// How vnotch ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Standard error of a vnotch that refused with this exit code: one message, and nothing on standard output.
    #[track_caller]
    pub(crate) fn refusal(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert_eq!(self.stderr.matches("vnotch: ").count(), 1, "one message: {}", self.stderr);
        self.stderr
    }

    /// Standard output of a vnotch that did what it was told.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard output of a vnotch that measured an open load: in time, or, where the machine was busy with other things,
    /// so late that it says itself not to be believed. What was sent and received is to be believed either way.
    #[track_caller]
    pub(crate) fn measured(self) -> String {
        let is_late = self.code == Some(5) && self.stdout.contains("the generator was late: pacing lag");
        assert!(self.code == Some(0) || is_late, "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("vnotch speaks UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// One vnotch at a time: they share the disk, and what a user may lock of memory in all processes together.
static MACHINE: Mutex<()> = Mutex::new(());

/// Keeps other tests of this binary from running vnotch.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end.
pub(crate) fn end(command: &mut Command) -> Ended {
    let _alone = alone();
    command.output().expect("the program can be started").into()
}

/// An empty directory on the file system that holds the build: a disk, where this is developed and tested.
pub(crate) fn disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written to")
}

pub(crate) fn is_empty(dir: &Path) -> bool {
    dir.read_dir().expect("a directory of the test's own").next().is_none()
}

/// The vnotch under test.
pub(crate) fn vnotch() -> Command {
    Command::new(vnotch_path())
}

/// vnotch in a namespace of its own with a file system mounted on `dir`, which nobody else sees and which is gone with
/// it. `None`, with a message, where namespaces are not allowed.
pub(crate) fn vnotch_on(dir: &Path, filesystem: &str, options: &str) -> Option<Command> {
    let mut trial = Command::new("unshare");
    trial.args(["-rm", "mount", "-t", filesystem, "-o", options, "none"]).arg(dir);
    if !is_possible(&mut trial) {
        skip(&format!("`unshare -rm mount -t {filesystem}` is not possible here"));
        return None;
    }
    let mut command = Command::new("unshare");
    let script = r#"mount -t "$1" -o "$2" none "$3" && shift 3 && exec "$@""#;
    command.args(["-rm", "sh", "-c", script, "sh", filesystem, options]).arg(dir).arg(vnotch_path());
    Some(command)
}

/// vnotch with a limit on locked memory, which a privileged process may still exceed.
pub(crate) fn vnotch_with_memlock(kib: u32) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -l "$1" && shift && exec "$@""#, "sh", &kib.to_string()])
        .arg(vnotch_path());
    command
}

/// The same in a user namespace of its own, where nobody may exceed it. `None`, with a message, where namespaces are not
/// allowed.
pub(crate) fn vnotch_held_to_memlock(kib: u32) -> Option<Command> {
    if !is_possible(Command::new("unshare").args(["-r", "true"])) {
        skip("`unshare -r` is not possible here");
        return None;
    }
    let limited = vnotch_with_memlock(kib);
    let mut command = Command::new("unshare");
    command.arg("-r").arg(limited.get_program()).args(limited.get_args());
    Some(command)
}

/// Runs to the end where making an io_uring fails with `errno`, as it does under a container's seccomp profile (EPERM)
/// or in a kernel built without (ENOSYS).
pub(crate) fn end_without_io_uring(mut command: Command, errno: i32) -> Ended {
    let action = SeccompAction::Errno(errno.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().expect("seccompiler knows the architectures vnotch runs on");
    let rules = [(libc::SYS_io_uring_setup, Vec::new())].into();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, action, arch).expect("the filter makes sense");
    let program: BpfProgram = filter.try_into().expect("one rule compiles");
    // A filter is of the thread that applies it and of what that thread starts, and cannot be taken off.
    let thread = std::thread::spawn(move || {
        seccompiler::apply_filter(&program).expect("a process may always forbid itself something");
        end(&mut command)
    });
    thread.join().expect("the thread did not panic")
}

fn is_possible(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Said past the test harness, which would swallow it: a test that did not run must not look like one that passed.
fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

fn vnotch_path() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vnotch"))
}
