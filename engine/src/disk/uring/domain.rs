//! Which files one device flush covers. Known of ext4 alone, where a direct overwrite of written extents goes to its place
//! on the device and an fdatasync of any file, even one with nothing to write, flushes the device.
//!
//! It is not so where overwriting writes elsewhere (btrfs, a reflinked file of XFS), nor where direct I/O falls back to the
//! page cache: ext4 with journalled data, or with encryption.

use rustix::fs::{Stat, fstat, fstatfs, ioctl_getflags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// statfs says so of ext2, ext3 and ext4, which are one driver.
const EXT4_MAGIC: u64 = 0xEF53;

/// Attributes of a file (`chattr`) that send direct I/O through the page cache: journalled data, encrypted, inline data.
const UNFIT_FLAGS: u32 = 0x4000 | 0x0800 | 0x1000_0000;

/// What is known of the file systems met so far, by device.
#[derive(Debug, Default)]
pub(super) struct Domains(RefCell<BTreeMap<u64, bool>>);

impl Domains {
    /// The domain of a file open for direct I/O.
    pub(super) fn of(&self, file: &OwnedFd) -> Option<u64> {
        let device = fstat(file).ok().map(|stat: Stat| stat.st_dev)?;
        let is_fit = *self.0.borrow_mut().entry(device).or_insert_with(|| is_fit_file_system(file, device));
        let flags = is_fit.then(|| ioctl_getflags(file).ok()).flatten()?;
        (flags.bits() & UNFIT_FLAGS == 0).then_some(device)
    }
}

fn is_fit_file_system(file: &OwnedFd, device: u64) -> bool {
    let is_ext4 = fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|id| id == EXT4_MAGIC));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_ext4 && is_fit_mount(&mounts, device)
}

/// Whether the device is mounted, as the mount table tells it, without journalling data.
fn is_fit_mount(mounts: &str, device: u64) -> bool {
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mut mounted = mounts.lines().filter(|line| line.split(' ').nth(2) == Some(&number)).peekable();
    mounted.peek().is_some()
        && mounted.all(|line| {
            let options = line.rsplit(' ').next().unwrap_or_default();
            line.contains(" - ext4 ") && !options.split(',').any(|option| option == "data=journal")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,discard\n\
        23 22 254:2 / /journal rw - ext4 /dev/vdb rw,data=journal,discard\n\
        24 22 254:3 / /old rw - ext3 /dev/vdc rw\n";

    #[test]
    fn only_ext4_that_journals_metadata_alone_is_fit() {
        let fit = |minor| is_fit_mount(MOUNTS, rustix::fs::makedev(254, minor));
        assert_eq!([1, 2, 3, 4].map(fit), [true, false, false, false]);
    }
}
