//! Helpers for tests of the command line: the binary under test, its outcome, and machines that lack something.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The exit code and the output of a vnotch that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks that vnotch refused with this exit code, with one message and no standard output. Returns its standard error.
    #[track_caller]
    pub(crate) fn refusal(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert_eq!(self.stderr.matches("vnotch: ").count(), 1, "one message: {}", self.stderr);
        self.stderr
    }

    /// Checks that vnotch succeeded. Returns its standard output.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Checks that vnotch measured an open load. Returns its standard output. On a busy machine the generator may be so late that
    /// the run is invalid. The counts of records sent and received are right in both cases.
    #[track_caller]
    pub(crate) fn measured(self) -> String {
        let is_late = self.code == Some(5) && self.stdout.contains("generator was late: response");
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

/// Held while a vnotch runs, so that there is one at a time. They share the disk, and the limit on the memory that all
/// processes of a user may lock together.
static MACHINE: Mutex<()> = Mutex::new(());

/// Keeps other tests of this binary from running vnotch.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    let _alone = alone();
    command.output().expect("the program can be started").into()
}

/// Returns an empty directory on the file system that holds the build. The tests assume that it is on a disk.
pub(crate) fn disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written to")
}

pub(crate) fn is_empty(dir: &Path) -> bool {
    dir.read_dir().expect("a directory of the test's own").next().is_none()
}

/// Returns a command for the vnotch under test.
pub(crate) fn vnotch() -> Command {
    Command::new(vnotch_path())
}

/// Returns a command for vnotch in its own namespace, with a file system mounted on `dir`. No other process sees the file
/// system, and it ends with vnotch. `None`, with a message, if namespaces are not allowed.
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

/// Returns a command for vnotch with a limit on locked memory. A privileged process may exceed the limit.
pub(crate) fn vnotch_with_memlock(kib: u32) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -l "$1" && shift && exec "$@""#, "sh", &kib.to_string()])
        .arg(vnotch_path());
    command
}

/// Like [`vnotch_with_memlock`], but in a user namespace, where no process may exceed the limit. `None`, with a message, if
/// namespaces are not allowed.
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

/// Runs the command to its end, while creating an io_uring fails with `errno`. That happens under a container's seccomp profile
/// (EPERM), or in a kernel built without io_uring (ENOSYS).
pub(crate) fn end_without_io_uring(mut command: Command, errno: i32) -> Ended {
    let action = SeccompAction::Errno(errno.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().expect("seccompiler knows the architectures vnotch runs on");
    let rules = [(libc::SYS_io_uring_setup, Vec::new())].into();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, action, arch).expect("the filter makes sense");
    let program: BpfProgram = filter.try_into().expect("one rule compiles");
    // The filter holds for the thread that applies it and for the processes that this thread starts. It cannot be removed, so
    // it gets its own thread.
    let thread = std::thread::spawn(move || {
        seccompiler::apply_filter(&program).expect("a process may always forbid itself something");
        end(&mut command)
    });
    thread.join().expect("the thread did not panic")
}

fn is_possible(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Writes directly to standard error that the test was skipped, because the test harness would hide it. A test that did not run
/// must not look like a test that passed.
fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

fn vnotch_path() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vnotch"))
}
