//! What several integration tests need: file systems of their own, on machines that let them be mounted.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::path::Path;
use std::process::Command;

/// A command that runs vnotch in a namespace of its own with a file system mounted on `dir`, which nobody else sees and
/// which is gone with it. `None`, with a message, where unprivileged namespaces are not allowed.
pub(crate) fn vnotch_on(dir: &Path, filesystem: &str, options: &str) -> Option<Command> {
    let allowed = Command::new("unshare")
        .args(["-rm", "mount", "-t", filesystem, "-o", options, "none"])
        .arg(dir)
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("skipped: `unshare -rm mount -t {filesystem}` is not possible here");
        return None;
    }
    let mut command = Command::new("unshare");
    let script = r#"mount -t "$1" -o "$2" none "$3" && shift 3 && exec "$@""#;
    command.args(["-rm", "sh", "-c", script, "sh", filesystem, options]).arg(dir).arg(vnotch_path());
    Some(command)
}

/// The vnotch binary under test.
pub(crate) fn vnotch() -> Command {
    Command::new(vnotch_path())
}

fn vnotch_path() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vnotch"))
}
