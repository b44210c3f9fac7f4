//! Flush domains: sets of files whose writes one flush of their device covers. Only files on ext4 have one. On ext4, a
//! direct overwrite of written extents goes to its place on the device. An fdatasync of any regular file flushes the
//! device, even if that file has nothing to write.
//!
//! A flush of the device does not cover a write where overwriting writes to another place (btrfs, a reflinked file of
//! XFS). Nor does it where direct I/O falls back to the page cache: ext4 with journalled data, or with encryption.

use super::devices::device_of;
use rustix::fs::{CWD, Mode, OFlags, fstatfs, ioctl_getflags, openat};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The type that statfs reports for ext2, ext3 and ext4, which share one driver.
const EXT4_MAGIC: u64 = 0xEF53;

/// Attributes of a file (`chattr`) that send direct I/O through the page cache: journalled data, encrypted, inline data.
const UNFIT_FLAGS: u32 = 0x4000 | 0x0800 | 0x1000_0000;

/// The flush domain of a device: the files that one flush of the device covers.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    /// The number of the device.
    pub(super) device: u64,
    /// ext4 without a journal, from Linux 6.5 on: the device's root directory, or another mounted directory of the
    /// device if the root is not mounted. `None` elsewhere.
    ///
    /// fdatasync on this directory only flushes the device. On a data file it would first write the inode's block (100
    /// µs) whenever one of 16 neighbouring inodes has a changed time. The root's block does not change, as nobody
    /// changes the first inodes of a device.
    ///
    /// With a journal, fdatasync on a data file only flushes the device. On a directory it then flushes nothing, unless
    /// a transaction happens to be open.
    pub(super) flush_through: Option<Rc<OwnedFd>>,
}

/// The domains of the devices whose files were opened. The value is `None` where a flush is not known to cover other
/// files.
#[derive(Debug, Default)]
pub(super) struct Domains {
    known: RefCell<BTreeMap<u64, Option<Domain>>>,
}

impl Domains {
    /// Returns the domain of a file that is open for direct I/O; `None` if it has none.
    pub(super) fn of(&self, file: &OwnedFd) -> Option<Domain> {
        let device = device_of(file)?;
        let known = self.known.borrow().get(&device).cloned();
        let domain = match known {
            Some(known) => known,
            None => {
                // Without a descriptor for the table, the next file tries again.
                let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
                let found = domain(file, device, &table);
                self.known.borrow_mut().insert(device, found.clone());
                found
            }
        }?;
        let flags = ioctl_getflags(file).ok()?;
        (flags.bits() & UNFIT_FLAGS == 0).then_some(domain)
    }
}

/// Returns the domain of a file on a device. `table` lists all mounts.
fn domain(file: &OwnedFd, device: u64, table: &str) -> Option<Domain> {
    let is_ext4 = fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|id| id == EXT4_MAGIC));
    let mounts = mounts_of(table, device);
    let flush_through =
        || flushes_through_directories(device).then(|| open_mounted_dir(&mounts, device)).flatten();
    (is_ext4 && are_fit(&mounts)).then(|| Domain { device, flush_through: flush_through() })
}

/// Whether fdatasync of a directory with nothing to write flushes the device. It does on ext4 without a journal, from
/// Linux 6.5 on. Before 6.5, without a journal, no fdatasync flushes the device if only data has changed.
fn flushes_through_directories(device: u64) -> bool {
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let link = std::fs::read_link(format!("/sys/dev/block/{number}")).ok();
    let name = link.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default();
    let task = std::fs::read_to_string(format!("/sys/fs/ext4/{name}/journal_task")).unwrap_or_default();
    let uname = rustix::system::uname();
    task.trim() == "<none>" && is_since((6, 5), &uname.release().to_string_lossy())
}

/// Whether a kernel's release ("6.18.44-x") is `least` or newer.
fn is_since(least: (u32, u32), release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|found: (u32, u32)| found >= least)
}

/// A mount of the device: the fields of one line of the mount table.
struct Mount<'a> {
    /// The directory of the file system that is mounted.
    root: &'a str,
    /// The directory that it is mounted on, with blanks and the like as octal escapes.
    point: &'a str,
    /// The rest of the line.
    rest: &'a str,
}

fn mounts_of(table: &str, device: u64) -> Vec<Mount<'_>> {
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let of_line = |line| {
        let mut fields = str::splitn(line, 6, ' ').skip(2);
        (fields.next()? == number).then_some(())?;
        Some(Mount { root: fields.next()?, point: fields.next()?, rest: fields.next()? })
    };
    table.lines().filter_map(of_line).collect()
}

/// Whether the device is mounted, and only as ext4 without journalled data.
fn are_fit(mounts: &[Mount<'_>]) -> bool {
    !mounts.is_empty()
        && mounts.iter().all(|mount| {
            let options = mount.rest.rsplit(' ').next().unwrap_or_default();
            mount.rest.contains(" - ext4 ") && !options.split(',').any(|option| option == "data=journal")
        })
}

/// Opens a mounted directory of the device: the file system's root if that is mounted, else another one.
fn open_mounted_dir(mounts: &[Mount<'_>], device: u64) -> Option<Rc<OwnedFd>> {
    let by_root = |is_root: bool| mounts.iter().filter(move |mount| (mount.root == "/") == is_root);
    let open = |mount: &Mount<'_>| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, unescaped(mount.point), flags, Mode::empty()).ok()
    };
    // Another device may be mounted over the same directory.
    let is_it = |file: &OwnedFd| device_of(file) == Some(device);
    by_root(true).chain(by_root(false)).filter_map(open).find(is_it).map(Rc::new)
}

/// Returns a path of the mount table without its escapes: `\040` stands for a blank.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal =
            tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::fstat;

    const MOUNTS: &str = "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,discard\n\
        23 22 254:2 / /journal rw - ext4 /dev/vdb rw,data=journal,discard\n\
        24 22 254:3 / /old rw - ext3 /dev/vdc rw\n";

    #[test]
    fn only_ext4_that_journals_metadata_alone_is_fit() {
        let fit = |minor| are_fit(&mounts_of(MOUNTS, rustix::fs::makedev(254, minor)));
        assert_eq!([1, 2, 3, 4].map(fit), [true, false, false, false]);
    }

    #[test]
    fn kernels_are_told_apart_by_their_first_two_numbers() {
        let since = |release| is_since((6, 5), release);
        assert_eq!(["6.5.0", "6.18.44-x", "7.0-rc1"].map(since), [true; 3]);
        assert_eq!(["6.4.16-9.11", "5.15.0", "6", "", "x6.9"].map(since), [false; 5]);
    }

    #[test]
    fn a_mount_points_blanks_are_escaped_in_the_table() {
        assert_eq!(unescaped(r"/a\040b\134\011c\04"), Path::new("/a b\\\tc\\04"));
    }

    #[test]
    fn a_device_is_flushed_through_a_directory_that_is_on_it() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let device = device_of(&file).unwrap();
        let point = dir.path().to_str().unwrap();
        // The first path does not exist, the second is on another device, the third is no directory.
        let [none, other, name] = ["/nowhere", "/proc", "/proc/self/mountinfo"].map(|point| ("/", point));
        let table = [none, other, name, ("/sub", point)]
            .map(|(root, point)| {
                format!(
                    "1 1 {}:{} {root} {point} rw - ext4 /dev/x rw\n",
                    rustix::fs::major(device),
                    rustix::fs::minor(device)
                )
            })
            .concat();
        let found = open_mounted_dir(&mounts_of(&table, device), device).unwrap();
        assert_eq!(fstat(&*found).unwrap().st_ino, fstat(&file).unwrap().st_ino);
        let end = table.len() - table.lines().last().unwrap().len() - 1;
        assert!(open_mounted_dir(&mounts_of(&table[..end], device), device).is_none());
    }
}
