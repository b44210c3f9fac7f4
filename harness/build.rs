//! Tells the binary where it comes from, for the provenance of results. Works without git and outside a checkout, where
//! the revision is `unknown`.

use std::path::Path;
use std::process::Command;

fn main() {
    if Command::new("git").arg("--version").output().is_err() {
        println!(
            "cargo:warning=git is not on the PATH, so results will not name the revision that was built"
        );
    }
    let checkout = own_checkout();
    let git = |arguments: &[&str]| checkout.then(|| output("git", arguments)).flatten();
    let revision = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let state = match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => "clean",
        Some(_) => "dirty",
        None => "unknown",
    };
    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    set("VNOTCH_GIT_REVISION", &revision);
    set("VNOTCH_GIT_STATE", state);
    set("VNOTCH_RUSTC", &rustc.unwrap_or_else(|| "unknown".to_owned()));
    set("VNOTCH_PROFILE", &std::env::var("PROFILE").unwrap_or_default());
    set("VNOTCH_TARGET", &std::env::var("TARGET").unwrap_or_default());

    // The log of HEAD grows with every commit and checkout. A path that is not there would run this at every build.
    let head_log = git(&["rev-parse", "--git-path", "logs/HEAD"]).unwrap_or_default();
    for path in ["build.rs", "src", "../engine/src", "../Cargo.lock", &head_log] {
        if Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

/// Whether the workspace is a checkout itself, and not merely unpacked inside somebody else's.
fn own_checkout() -> bool {
    let top =
        output("git", &["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    top.is_some() && top == Path::new("..").canonicalize().ok()
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}
