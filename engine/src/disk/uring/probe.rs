//! The ring's settings, and whether the running kernel has all that the ring needs.

use io_uring::{IoUring, opcode};
use std::io;

/// Operations without which there is no engine.
const NEEDED: [u8; 10] = [
    opcode::WriteFixed::CODE,
    opcode::ReadFixed::CODE,
    opcode::Fsync::CODE,
    opcode::Fallocate::CODE,
    opcode::OpenAt::CODE,
    opcode::RenameAt::CODE,
    opcode::UnlinkAt::CODE,
    opcode::MkDirAt::CODE,
    opcode::Timeout::CODE,
    opcode::Close::CODE,
];

/// Settings of a ring that one thread uses. A completion that is finished by a worker of the kernel's waits until this thread
/// enters the kernel, and the ring says so: otherwise each would interrupt the thread, which polls in user space, with an
/// IPI; for 64 small writes on a virtual machine that is 16 µs each.
pub(super) fn builder() -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    builder
}

/// Whether the running kernel lets us have a ring with every operation we need.
///
/// # Errors
/// Why not.
pub fn probe() -> io::Result<()> {
    let too_old =
        || io::Error::new(io::ErrorKind::Unsupported, "the kernel is too old: run Linux 6.1 or newer");
    let ring = builder().build(8).map_err(|error| match error.kind() {
        // A flag that it does not know.
        io::ErrorKind::InvalidInput => too_old(),
        _ => error,
    })?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if NEEDED.iter().all(|code| probe.is_supported(*code)) { Ok(()) } else { Err(too_old()) }
}
