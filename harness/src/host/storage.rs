//! The file system and the block device under a directory.

use super::environment::read;
use super::procfs::{self, DiskCounters, Interrupts, Mount};
use crate::result::environment::{BlockDevice, Storage};
use crate::workload::Io;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

impl Storage {
    /// Describes the storage of the directory, or of its nearest ancestor that exists.
    pub fn of(dir: &Path) -> Self {
        let Some(mount) = mount_of(dir) else { return Self::default() };
        Self {
            device: disk_of(&mount).map(|disk| disk.describe()),
            filesystem: Some(mount.filesystem),
            mount_point: Some(mount.mount_point),
            mount_options: Some(mount.options),
            source: Some(mount.source),
            // The caller tries it, because that writes a file.
            direct_is_cached: None,
        }
    }
}

/// Returns the cores that have taken a tenth or more of the disk's interrupts since boot, in ascending order. Kernel
/// workers complete synced writes on these cores. A thread that spins there without yielding delays them by up to a
/// scheduler tick.
pub fn interrupt_cores(dir: &Path) -> Vec<u32> {
    let Some(disk) = disk_under(dir) else { return Vec::new() };
    let all = read("/proc/interrupts").map(|text| procfs::interrupts(&text)).unwrap_or_default();
    busiest(&disk.interrupts(&all))
}

/// Returns whether the ext4 file system of the directory has a journal, or `None` if ext4 does not report it.
pub fn has_journal(dir: &Path) -> Option<bool> {
    let device = fs::metadata(dir).ok()?.dev();
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let link = fs::read_link(format!("/sys/dev/block/{number}")).ok()?;
    let task = read(&format!("/sys/fs/ext4/{}/journal_task", link.file_name()?.to_str()?))?;
    Some(task.trim() != "<none>")
}

fn busiest(interrupts: &[&Interrupts]) -> Vec<u32> {
    let mut per_core = BTreeMap::<u32, u64>::new();
    for (core, count) in interrupts.iter().flat_map(|interrupt| &interrupt.per_core) {
        *per_core.entry(*core).or_default() += count;
    }
    let total: u64 = per_core.values().sum();
    let takes_part = |count: u64| count > 0 && count >= total / 10;
    per_core.into_iter().filter(|(_, count)| takes_part(*count)).map(|(core, _)| core).collect()
}

/// Returns the bytes that a device took or gave: those of its own counter.
///
/// A file system without a disk, or a disk that counts nothing, leaves the bytes of the direct operations. It leaves nothing
/// for buffered ones, which may have moved memory only.
pub fn device_bytes(moved: u64, counted: Option<u64>, io: Io) -> Option<u64> {
    match io {
        Io::Buffered => counted,
        // A counter below half of what direct I/O has moved does not count this I/O.
        Io::Direct => Some(counted.filter(|counted| *counted >= moved / 2).unwrap_or(moved)),
    }
}

/// A disk, known by its directory in /sys.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    sys: PathBuf,
}

/// Returns the disk under a directory.
pub(crate) fn disk_under(dir: &Path) -> Option<Disk> {
    disk_of(&mount_of(dir)?)
}

impl Disk {
    /// Returns the counters of the disk since it was attached.
    pub(crate) fn counters(&self) -> Option<DiskCounters> {
        procfs::disk_counters(&self.read("stat")?)
    }

    /// Returns the `interrupts` that this disk raises. For a stacked disk, those of the first physical disk below it.
    pub(super) fn interrupts<'a>(&self, interrupts: &'a [Interrupts]) -> Vec<&'a Interrupts> {
        let physical = self.physical();
        // Message-signalled interrupts are listed in the directory of the PCI function, some levels above the disk.
        let listed = physical.sys.ancestors().find_map(|dir| fs::read_dir(dir.join("msi_irqs")).ok());
        let numbers: Vec<u32> = listed
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        let controller = fs::canonicalize(physical.sys.join("device")).ok();
        let controller = controller.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let is_its = |interrupt: &&Interrupts| {
            numbers.contains(&interrupt.number)
                || controller.is_some_and(|name| {
                    interrupt
                        .action
                        .strip_prefix(name)
                        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
                })
        };
        interrupts.iter().filter(is_its).collect()
    }

    fn describe(&self) -> BlockDevice {
        let flag = |path| self.read(path).map(|text: String| text.trim() != "0");
        let number = |path| self.read(path).and_then(|text: String| text.trim().parse::<u64>().ok());
        let text = |path| self.read(path).map(|text: String| text.trim().to_owned());
        BlockDevice {
            name: self.name(),
            model: text("device/model").filter(|model| !model.is_empty()),
            stacked_on: self.slaves(),
            size_bytes: number("size").and_then(|sectors| sectors.checked_mul(512)),
            scheduler: self.read("queue/scheduler").map(|text| procfs::chosen(&text).to_owned()),
            write_cache: text("queue/write_cache"),
            fua: flag("queue/fua"),
            rotational: flag("queue/rotational"),
            logical_block_bytes: number("queue/logical_block_size"),
        }
    }

    fn name(&self) -> String {
        self.sys.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn slaves(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sys.join("slaves")).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Returns the first physical disk below stacked ones. It follows at most eight levels.
    fn physical(&self) -> Self {
        let mut disk = self.clone();
        for _ in 0..8 {
            let Some(slave) = disk.slaves().into_iter().next() else { break };
            let Some(below) = whole_disk(&disk.sys.join("slaves").join(slave)) else { break };
            disk = below;
        }
        disk
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.sys.join(path)).ok()
    }
}

/// Returns the mount that a directory lies on.
pub(super) fn mount_of(dir: &Path) -> Option<Mount> {
    let absolute = std::path::absolute(dir).ok()?;
    let existing = absolute.ancestors().find_map(|dir| fs::canonicalize(dir).ok())?;
    innermost(procfs::mounts(&read("/proc/self/mountinfo")?), &existing)
}

/// Returns the mount with the longest mount point above `path`. Of equal ones, the last hides the others.
fn innermost(mounts: Vec<Mount>, path: &Path) -> Option<Mount> {
    let above = mounts.into_iter().filter(|mount| path.starts_with(&mount.mount_point));
    above.max_by_key(|mount| Path::new(&mount.mount_point).components().count())
}

/// Returns the disk of a mount. Some file systems (btrfs) have a device number that no disk has. Then the disk is
/// looked up by the mounted device.
fn disk_of(mount: &Mount) -> Option<Disk> {
    whole_disk(&sys_block(&mount.device)).or_else(|| {
        let number = fs::metadata(&mount.source).ok().filter(|_| mount.source.starts_with("/dev/"))?.rdev();
        let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        whole_disk(&sys_block(&number))
    })
}

fn sys_block(number: &str) -> PathBuf {
    Path::new("/sys/dev/block").join(number)
}

/// Returns the disk that a directory of /sys describes: the disk itself, or the disk of which it describes a partition.
fn whole_disk(sys: &Path) -> Option<Disk> {
    let sys = fs::canonicalize(sys).ok()?;
    let is_partition = sys.join("partition").exists();
    let sys = if is_partition { sys.parent()?.to_owned() } else { sys };
    Some(Disk { sys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(mount_point: &str, source: &str) -> Mount {
        Mount {
            device: "8:1".into(),
            root: "/".into(),
            mount_point: mount_point.into(),
            options: "rw".into(),
            filesystem: "ext4".into(),
            source: source.into(),
        }
    }

    #[test]
    fn the_innermost_and_last_mount_counts() {
        let mounts = vec![
            mount("/", "root"),
            mount("/srv/data", "old"),
            mount("/srv", "srv"),
            mount("/srv/data", "new"),
        ];
        let source = |path: &str| innermost(mounts.clone(), Path::new(path)).unwrap().source;
        assert_eq!(source("/srv/data/logs"), "new");
        assert_eq!(source("/srv/database"), "srv", "a mount point is a whole name");
        assert_eq!(source("/tmp"), "root");
    }

    #[test]
    fn a_directory_yet_to_be_made_lies_where_its_parent_does() {
        let here = Storage::of(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(here.filesystem.is_some());
        assert_eq!(Storage::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("not/yet/there")), here);
    }

    #[test]
    fn a_file_system_without_a_device_has_none() {
        assert_eq!(Storage::of(Path::new("/proc")).device, None);
    }

    #[test]
    fn the_cores_that_matter_take_a_tenth_of_the_interrupts() {
        let interrupt =
            |per_core: &[(u32, u64)]| Interrupts { number: 1, action: "x".into(), per_core: per_core.into() };
        let (first, second) = (interrupt(&[(0, 5), (1, 60)]), interrupt(&[(0, 4), (3, 35)]));
        assert_eq!(busiest(&[&first, &second]), [1, 3]);
        assert_eq!(busiest(&[&interrupt(&[(0, 0)])]), [0_u32; 0]);
    }

    #[test]
    fn partitions_stacks_and_interrupts_lead_to_the_disk() {
        let sys = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(sys.path()).unwrap();
        let disk = root.join("pci/virtio1/block/vda");
        fs::create_dir_all(disk.join("vda1")).unwrap();
        fs::create_dir_all(disk.join("slaves")).unwrap();
        fs::create_dir_all(root.join("pci/msi_irqs/36")).unwrap();
        fs::write(disk.join("vda1/partition"), "1\n").unwrap();
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::write(disk.join("queue/scheduler"), "none [mq-deadline]\n").unwrap();
        std::os::unix::fs::symlink("../..", disk.join("device")).unwrap();
        let mapper = root.join("virtual/block/dm-0");
        fs::create_dir_all(mapper.join("slaves")).unwrap();
        std::os::unix::fs::symlink(disk.join("vda1"), mapper.join("slaves/vda1")).unwrap();

        assert_eq!(
            whole_disk(&disk.join("vda1")).unwrap().describe().scheduler.as_deref(),
            Some("mq-deadline")
        );
        let stacked = whole_disk(&mapper).unwrap();
        assert_eq!(stacked.describe().stacked_on, ["vda1"]);
        let interrupt = |number, action: &str| Interrupts { number, action: action.into(), per_core: vec![] };
        let all = [
            interrupt(36, "blk"),
            interrupt(37, "virtio1-req.0"),
            interrupt(38, "virtio12-req.0"),
            interrupt(39, "x"),
        ];
        let numbers: Vec<_> = stacked.interrupts(&all).iter().map(|interrupt| interrupt.number).collect();
        assert_eq!(numbers, [36, 37]);
    }
}
