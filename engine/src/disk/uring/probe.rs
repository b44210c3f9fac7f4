//! The settings of the ring, and a check that the running kernel has everything that the ring needs.

use io_uring::{IoUring, opcode};
use std::io;

/// Operations that the engine cannot work without.
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

/// Returns the settings of a ring that one thread uses. A completion that the kernel finishes on another core waits
/// until this thread enters the kernel, and a flag of the ring says so. Otherwise each completion would interrupt the
/// thread, which polls in user space, with an IPI. For 64 small writes on a virtual machine, that costs 16 µs each.
pub(super) fn builder() -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    builder
}

/// Checks that the running kernel allows a ring, and has every operation that the engine needs.
///
/// # Errors
/// The kernel forbids io_uring, or is too old.
pub fn probe() -> io::Result<()> {
    let too_old =
        || io::Error::new(io::ErrorKind::Unsupported, "the kernel is too old: run Linux 6.1 or newer");
    let ring = builder().build(8).map_err(|error| match error.kind() {
        // The kernel does not know one of the flags.
        io::ErrorKind::InvalidInput => too_old(),
        _ => error,
    })?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if NEEDED.iter().all(|code| probe.is_supported(*code)) { Ok(()) } else { Err(too_old()) }
}
