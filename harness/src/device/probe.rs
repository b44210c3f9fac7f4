//! Tests of the abilities of this kernel's io_uring and of a directory's file system. Each ability is tried, not looked
//! up in a version table.

use super::buffers::Buffers;
use super::scratch::{self, Scratch, file_error};
use super::{BLOCK_ALIGN_BYTES, DeviceError, ring};
use crate::result::environment::{self, RingProbe};
use crate::workload::Io;
use io_uring::{IoUring, Probe, opcode};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

impl environment::IoUring {
    /// Asks the kernel what its io_uring supports. Makes up to four rings and drops them.
    pub fn collect() -> Self {
        let probe = probe();
        Self {
            disabled_sysctl: disabled_sysctl(),
            error: probe.as_ref().err().map(ToString::to_string),
            probe: probe.ok(),
        }
    }
}

/// Reads the setting `kernel.io_uring_disabled`; `None` if the kernel does not have it.
pub fn disabled_sysctl() -> Option<u32> {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    disabled.ok().and_then(|text| text.trim().parse().ok())
}

/// Makes a ring and asks it which operations and features it supports.
///
/// # Errors
/// There is no io_uring, or this process may not use it.
pub fn probe() -> Result<RingProbe, DeviceError> {
    let ring = ring::make(2)?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|source| DeviceError::Ring { action: "say what it supports", source })?;
    let operations = [
        ("read", opcode::Read::CODE),
        ("write", opcode::Write::CODE),
        ("read_fixed", opcode::ReadFixed::CODE),
        ("write_fixed", opcode::WriteFixed::CODE),
        ("fsync", opcode::Fsync::CODE),
        ("fallocate", opcode::Fallocate::CODE),
        ("ftruncate", opcode::Ftruncate::CODE),
        ("renameat", opcode::RenameAt::CODE),
        ("unlinkat", opcode::UnlinkAt::CODE),
        ("async_cancel", opcode::AsyncCancel::CODE),
    ];
    let supported = operations.into_iter().filter(|(_, code)| probe.is_supported(*code));
    Ok(RingProbe {
        features: features(&ring),
        operations: supported.map(|(name, _)| name.to_owned()).collect(),
    })
}

fn features(ring: &IoUring) -> Vec<String> {
    let params = ring.params();
    let accepted = |builder: &mut io_uring::Builder| builder.build(2).is_ok();
    let features = [
        ("single_mmap", params.is_feature_single_mmap()),
        ("nodrop", params.is_feature_nodrop()),
        ("submit_stable", params.is_feature_submit_stable()),
        ("fast_poll", params.is_feature_fast_poll()),
        ("ext_arg", params.is_feature_ext_arg()),
        ("native_workers", params.is_feature_native_workers()),
        ("rsrc_tags", params.is_feature_resource_tagging()),
        ("coop_taskrun", accepted(IoUring::builder().setup_coop_taskrun())),
        ("single_issuer", accepted(IoUring::builder().setup_single_issuer())),
        ("defer_taskrun", accepted(IoUring::builder().setup_single_issuer().setup_defer_taskrun())),
    ];
    features.into_iter().filter(|(_, present)| *present).map(|(name, _)| name.to_owned()).collect()
}

/// The answers of a directory's file system to the operations that were tried.
#[derive(Debug)]
pub struct DirProbe {
    /// Bytes free for an ordinary user; `None` if the file system does not report it.
    pub free_bytes: Option<u64>,
    /// Result of a 4 KiB write with `O_DIRECT`, which bypasses the page cache.
    pub direct: Result<(), DeviceError>,
    /// Whether such a write went through the page cache all the same. `None` if the kernel does not say.
    pub direct_is_cached: Option<bool>,
    /// Result of allocating space with `fallocate`.
    pub allocate: Result<(), DeviceError>,
}

/// Tries direct I/O and allocation on small files in `dir`, which are removed again.
///
/// # Errors
/// The directory does not exist, or no files can be created in it.
pub fn probe_dir(dir: &Path) -> Result<DirProbe, DeviceError> {
    let scratch = Scratch::new(dir)?;
    let free_bytes = scratch.free_bytes()?;
    let direct = try_direct(&scratch);
    Ok(DirProbe {
        free_bytes: (free_bytes != u64::MAX).then_some(free_bytes),
        direct_is_cached: direct.as_ref().ok().and_then(|()| is_cached(&scratch)),
        direct,
        allocate: try_allocate(&scratch),
    })
}

/// Opens a file with O_DIRECT and writes to it. Some file systems allow the open and then refuse the write.
fn try_direct(scratch: &Scratch) -> Result<(), DeviceError> {
    let path = scratch.file("direct");
    let file = scratch::open(&path, Io::Direct, scratch.parent())?;
    let mut block = Buffers::new(BLOCK_ALIGN_BYTES as usize)?;
    let mut write = || {
        file.write_all_at(block.bytes_mut(), 0).map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidInput => DeviceError::NoDirect { dir: scratch.parent().to_owned() },
            _ => file_error("write directly to", &path, source),
        })
    };
    // The second write overwrites, as most writes of a log do.
    write()?;
    write()?;
    file.sync_all().map_err(|source| file_error("sync", &path, source))
}

/// Returns whether the block that [`try_direct`] wrote is in the page cache. `None` if the file system or the kernel cannot say.
fn is_cached(scratch: &Scratch) -> Option<bool> {
    found_without_waiting(&fs::File::open(scratch.file("direct")).ok()?)
}

/// Returns whether the first byte of `file` can be read without waiting for the disk and without reading from it. `None` if the
/// file system or the kernel cannot say.
///
/// A read that must not wait nevertheless starts to read ahead. On a fast disk the block may have arrived before the kernel
/// looks for it. So what this thread has read from the disk counts as well.
fn found_without_waiting(file: &fs::File) -> Option<bool> {
    let mut byte = [0];
    let before = bytes_read_from_disks()?;
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT) {
        Ok(bytes) => Some(bytes > 0 && bytes_read_from_disks()? == before),
        Err(Errno::AGAIN) => Some(false),
        Err(_) => None,
    }
}

/// Returns the bytes that this thread has had read from disks since it began. `None` if the kernel does not count them.
fn bytes_read_from_disks() -> Option<u64> {
    let counters = fs::read_to_string("/proc/thread-self/io").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}

fn try_allocate(scratch: &Scratch) -> Result<(), DeviceError> {
    let path = scratch.file("allocated");
    let file = scratch::open(&path, Io::Buffered, scratch.parent())?;
    scratch::allocate(&file, &path, u64::from(BLOCK_ALIGN_BYTES), scratch.parent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probed_directory_is_left_as_it_was() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let probe = probe_dir(dir.path()).unwrap();
        assert!(probe.free_bytes.is_some_and(|bytes| bytes > 0));
        assert!(
            probe.direct.is_ok() && probe.direct_is_cached != Some(true),
            "the tests run on a disk: {probe:?}"
        );
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
        assert!(matches!(probe_dir(&dir.path().join("missing")), Err(DeviceError::File { .. })));
    }

    #[test]
    fn a_block_that_the_look_itself_brings_is_not_in_the_cache() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [7; 4096]).unwrap();
        let file = fs::File::open(&path).unwrap();
        assert_eq!(found_without_waiting(&file), Some(true));
        for _ in 0..200 {
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            assert_eq!(found_without_waiting(&file), Some(false));
        }
    }

    #[test]
    fn a_ring_that_can_be_made_reads_and_writes() {
        let probe = probe().unwrap();
        assert!(probe.supports("read") && probe.supports("write"));
        assert!(!probe.supports("teleport"));
    }
}
