//! The checks: pure functions from facts to findings, so that they can be tested for machines that nobody here has.

use super::check::{check, ok};
use super::messages::core_messages;
use super::{Check, Facts, Jitter, Level, Needs};
use crate::device::{DeviceError, DirProbe, MEMLOCK_REMEDY};
use crate::host::leftovers::Leftover;
use crate::quantity;
use crate::result::environment::{Cgroup, Cpu, Environment, Load, Memlock, Memory, RingProbe, Storage};
use crate::result::provenance::Build;
use crate::workload::Io;

/// Locked memory that each executor of the engine needs, in bytes, even if it registers no buffers later.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
/// io_uring operations that the engine needs.
const OPERATIONS_NEEDED: [&str; 6] = ["read", "write", "read_fixed", "write_fixed", "fsync", "fallocate"];
/// The oldest kernel on which the engine's rings can be made; they need `IORING_SETUP_SINGLE_ISSUER`.
const KERNEL_MIN: (u32, u32) = (6, 0);
/// The oldest kernel on which vnotch is tested regularly.
const KERNEL_TRIED: (u32, u32) = (6, 1);
/// The first kernel whose fdatasync always flushes the device on ext4 without a journal. Older ones flush only if the
/// inode's size or extents have changed.
const KERNEL_FLUSHES_BARE: (u32, u32) = (6, 5);
/// The smallest limit on open files with which the built-in workloads run without opening segments again and again.
const DESCRIPTORS_MIN: u64 = 1024;
const MEMORY_BYTES_MIN: u64 = 2 << 30;
/// Free space that is enough for the built-in workloads, in bytes.
const FREE_BYTES_MIN: u64 = 4 << 30;
const STEAL_SHARE_MAX: f64 = 0.01;
const GAP_NS_MAX: u64 = 2_000_000;
const LOST_SHARE_MAX: f64 = 0.02;

/// Returns every check; those that can prevent a run come first.
pub(super) fn all(facts: &Facts, needs: &Needs) -> Vec<Check> {
    let Facts { environment, ring, dir, jitter, build, .. } = facts;
    let mut checks = vec![
        kernel(&environment.kernel),
        kernel_files(&facts.hidden_files),
        io_uring(ring, environment.io_uring.disabled_sysctl),
    ];
    checks.extend(operations(ring));
    checks.push(memlock(environment.memory.memlock, needs));
    checks.push(descriptors(facts.descriptors_max));
    checks.extend(directory(dir, needs));
    checks.push(file_system(&environment.storage, &environment.kernel, facts.has_journal));
    checks.extend(device(&environment.storage));
    checks.push(cores(&environment.cpu, needs));
    checks.extend(interrupts(&facts.interrupt_cores, &environment.cpu));
    checks.push(governor(&environment.cpu));
    checks.extend(cpu_quota(&environment.cgroup, needs));
    checks.extend(siblings(&environment.cpu, needs));
    checks.push(memory(&environment.memory, &environment.cgroup, needs));
    checks.extend(huge_pages(&environment.memory));
    checks.push(load(environment));
    checks.push(steal(&environment.load));
    checks.push(jitter_probe(jitter));
    checks.extend(core_messages(facts.core_messages));
    checks.extend(leftovers(&facts.leftovers));
    checks.push(profile(build));
    checks
}

/// Reports what killed runs left in the directory.
fn leftovers(found: &[Leftover]) -> Option<Check> {
    let bytes = quantity::bytes(found.iter().map(|it| it.bytes).sum());
    let names: Vec<_> = found.iter().filter_map(|it| it.dir.file_name()).collect();
    let first = names.first()?.display();
    let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
    let finding = format!("{first}{more} take {bytes}: killed runs left them");
    let dir = found.first()?.dir.parent()?.display();
    let remedy = format!("remove them: `vnotch prune --leftovers={dir} --yes`");
    Some(check("leftovers", Level::Warn, finding, &remedy))
}

/// Checks the quota of CPU time that control groups set. Returns `None` without a quota.
pub(super) fn cpu_quota(cgroup: &Cgroup, needs: &Needs) -> Option<Check> {
    const NAME: &str = "cpu quota";
    let quota = cgroup.cpu_quota_cores?;
    let stopped = cgroup.throttling.filter(|it| it.throttled_periods > 0).map_or_else(String::new, |it| {
        format!("; it has stopped threads in {} of {} periods", it.throttled_periods, it.periods)
    });
    let finding = format!("the control group allows {quota:.2} cores{stopped}");
    // A shard and a load thread may spin on a core each.
    if quota < 2.0 * f64::from(needs.shards) || !stopped.is_empty() {
        let remedy = "a quota stops all threads for parts of each 100 ms, which shows in every latency: run without it, or raise \
                      it (docker: --cpus; Kubernetes: limits.cpu; systemd: CPUQuota)";
        return Some(check(NAME, Level::Warn, finding, remedy));
    }
    Some(ok(NAME, finding))
}

/// Reports which cores are hardware threads of one physical core. Returns `None` if no two are, or the kernel does not say.
pub(super) fn siblings(cpu: &Cpu, needs: &Needs) -> Option<Check> {
    const NAME: &str = "siblings";
    let usable = |core: &&Vec<u32>| core.iter().any(|thread| cpu.cores_allowed.contains(thread));
    let physical = cpu.siblings.iter().filter(usable).count();
    let shared = cpu.siblings.iter().find(|core| core.len() > 1)?;
    let list: Vec<_> = shared.iter().map(u32::to_string).collect();
    let finding = format!(
        "{} usable cores are hardware threads of {physical} physical cores, such as {} of one",
        cpu.cores_allowed.len(),
        list.join(" and ")
    );
    if physical < needs.shards as usize + 1 {
        let remedy = "shards and load threads share a physical core and slow each other down: use a machine with more of them";
        return Some(check(NAME, Level::Warn, finding, remedy));
    }
    Some(ok(NAME, finding))
}

pub(super) fn kernel(uname: &str) -> Check {
    const NAME: &str = "kernel";
    let finding = format!("Linux {}", uname.split(' ').nth(1).unwrap_or_default());
    match release(uname) {
        Some(release) if release < KERNEL_MIN => {
            check(NAME, Level::Fail, finding, "run Linux 6.1 or newer; the engine needs 6.0 at least")
        }
        Some(release) if release < KERNEL_TRIED => check(
            NAME,
            Level::Warn,
            finding,
            "older than the kernels that vnotch is tested on: run Linux 6.1 or newer",
        ),
        _ => ok(NAME, finding),
    }
}

/// Checks that no file of the kernel is `hidden` that a run needs.
pub(super) fn kernel_files(hidden: &[&str]) -> Check {
    const NAME: &str = "kernel files";
    if hidden.is_empty() {
        return ok(NAME, "/proc and /sys can be read");
    }
    let finding = format!("{} cannot be read", hidden.join(", "));
    let remedy = "let the container or namespace see /proc and /sys: mount them there (`mount -t proc proc /proc`, \
                  `mount -t sysfs sysfs /sys`)";
    check(NAME, Level::Fail, finding, remedy)
}

/// Returns the first two numbers of a kernel's release.
fn release(uname: &str) -> Option<(u32, u32)> {
    let numbers = uname.split(' ').nth(1)?.split(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next())
}

pub(super) fn io_uring(ring: &Result<RingProbe, DeviceError>, disabled_sysctl: Option<u32>) -> Check {
    const NAME: &str = "io_uring";
    let error = match ring {
        Ok(probe) => return ok(NAME, format!("available ({})", probe.features.join(", "))),
        Err(error) => error,
    };
    let finding = match (error, disabled_sysctl) {
        (DeviceError::RingMissing, _) => "this kernel has no io_uring".to_owned(),
        (DeviceError::RingMemory, _) => "the limit on locked memory (memlock) is too small for it".to_owned(),
        (DeviceError::RingForbidden, Some(value @ 1..)) => {
            format!("switched off (kernel.io_uring_disabled = {value})")
        }
        (DeviceError::RingForbidden, _) => {
            "not permitted: a filter of system calls (seccomp), such as a container's, forbids it".to_owned()
        }
        (error, _) => format!("{}", Chain(error)),
    };
    check(NAME, Level::Fail, finding, error.remedy().unwrap_or("look for a message of the kernel: `dmesg`"))
}

/// Checks the ring's operations. Returns `None` if there is no ring, because that is one fault, not two.
pub(super) fn operations(ring: &Result<RingProbe, DeviceError>) -> Option<Check> {
    const NAME: &str = "io_uring operations";
    let probe = ring.as_ref().ok()?;
    let missing: Vec<_> =
        OPERATIONS_NEEDED.into_iter().filter(|operation| !probe.supports(operation)).collect();
    if missing.is_empty() {
        return Some(ok(NAME, probe.operations.join(", ")));
    }
    let finding = format!("{} missing", missing.join(", "));
    Some(check(NAME, Level::Fail, finding, "run Linux 6.1 or newer; check the container's seccomp profile"))
}

pub(super) fn memlock(memlock: Memlock, needs: &Needs) -> Check {
    const NAME: &str = "memlock";
    let arenas_bytes = needs.arena_bytes.saturating_mul(u64::from(needs.shards));
    let limit = match memlock.limit_bytes {
        // The executor checks the limit itself, even if the kernel would let the process exceed it.
        Some(limit) if limit < MEMLOCK_BYTES_MIN => {
            let finding = format!(
                "{}, and a shard needs {} at least",
                quantity::bytes(limit),
                quantity::bytes(MEMLOCK_BYTES_MIN)
            );
            return check(NAME, Level::Fail, finding, MEMLOCK_REMEDY);
        }
        Some(limit) => quantity::bytes(limit),
        None => "unlimited".to_owned(),
    };
    if memlock.allows(arenas_bytes) {
        let exempt = if memlock.exempt { ", and this process may exceed it" } else { "" };
        return ok(NAME, format!("{limit}{exempt}"));
    }
    let finding = format!(
        "{limit}, less than the {} of the arenas: buffers are not registered, which costs some CPU",
        quantity::bytes(arenas_bytes)
    );
    check(NAME, Level::Warn, finding, MEMLOCK_REMEDY)
}

/// Checks the hard limit on open files, to which the engine raises the soft one. `None` means that there is no limit.
pub(super) fn descriptors(limit: Option<u64>) -> Check {
    const NAME: &str = "open files";
    match limit {
        Some(limit) if limit < DESCRIPTORS_MIN => {
            let finding = format!(
                "this process may open {limit} files (hard limit); with more segments than that, they are closed and opened again"
            );
            let remedy = "raise it: `ulimit -Hn 65536`, or `* hard nofile 65536` in /etc/security/limits.conf \
                          (systemd: LimitNOFILE=65536; docker: --ulimit nofile=65536)";
            check(NAME, Level::Warn, finding, remedy)
        }
        Some(limit) => ok(NAME, format!("up to {limit}")),
        None => ok(NAME, "unlimited"),
    }
}

/// Checks whether the directory can be written to, whether O_DIRECT and fallocate work there if a run needs them, and how much
/// is free.
pub(super) fn directory(probe: &Result<DirProbe, DeviceError>, needs: &Needs) -> Vec<Check> {
    let probe = match probe {
        Ok(probe) => probe,
        Err(error) => {
            let finding = format!("{}", Chain(error));
            return vec![check(
                "directory",
                Level::Fail,
                finding,
                "choose a directory that you may write to",
            )];
        }
    };
    let missing = match needs.io {
        Io::Direct => Level::Fail,
        Io::Buffered => Level::Warn,
    };
    let direct = match &probe.direct {
        Ok(()) if probe.direct_is_cached == Some(true) => check(
            "O_DIRECT",
            Level::Warn,
            "accepted, but what is written goes through the page cache all the same",
            "choose a file system that writes directly (ext4: mount it without data=journal); here `engine.io: direct` \
             measures buffered writes",
        ),
        Ok(()) => ok("O_DIRECT", "works"),
        Err(error @ DeviceError::NoDirect { dir }) => {
            let finding = format!("not supported by the file system of {}", dir.display());
            check("O_DIRECT", missing, finding, error.remedy().unwrap_or_default())
        }
        Err(error) => check("O_DIRECT", missing, format!("{}", Chain(error)), "choose another directory"),
    };
    let unallocated = if needs.preallocates { Level::Fail } else { Level::Warn };
    let allocate = match &probe.allocate {
        Ok(()) => ok("fallocate", "works"),
        Err(DeviceError::NoAllocate { dir }) => {
            let finding = format!("not supported by the file system of {}", dir.display());
            let remedy = "run with `--set log.preallocate=none`, or choose a directory on ext4 with extents, XFS, btrfs or tmpfs";
            check("fallocate", unallocated, finding, remedy)
        }
        Err(error) => {
            check("fallocate", Level::Warn, format!("{}", Chain(error)), "choose another directory")
        }
    };
    vec![direct, allocate, free_space(probe.free_bytes)]
}

fn free_space(free_bytes: Option<u64>) -> Check {
    const NAME: &str = "free space";
    match free_bytes {
        None => ok(NAME, "unknown: the file system does not report it"),
        Some(free) if free < FREE_BYTES_MIN => check(
            NAME,
            Level::Warn,
            quantity::bytes(free),
            "free some space: the built-in workloads take up to 4 GiB",
        ),
        Some(free) => ok(NAME, quantity::bytes(free)),
    }
}

/// Checks the kind of the file system. `has_journal` matters for ext4 only; `None` if it is unknown.
pub(super) fn file_system(storage: &Storage, uname: &str, has_journal: Option<bool>) -> Check {
    const NAME: &str = "file system";
    let kind = storage.filesystem.as_deref().unwrap_or("unknown");
    let options = storage.mount_options.as_deref().unwrap_or("unknown options");
    let finding = format!("{kind} ({options})");
    // A FUSE file system is called fuse.NAME.
    match kind.split('.').next().unwrap_or_default() {
        "tmpfs" | "ramfs" => check(
            NAME,
            Level::Warn,
            finding,
            "this file system is in memory, so durability means nothing; choose a disk",
        ),
        "overlay" | "fuse" | "9p" | "virtiofs" | "nfs" | "nfs4" | "cifs" => {
            let remedy = "another layer is between the log and the disk; choose a volume on ext4 or XFS";
            check(NAME, Level::Warn, finding, remedy)
        }
        "ext4"
            if has_journal == Some(false)
                && storage.device.as_ref().and_then(|device| device.write_cache.as_deref())
                    != Some("write through")
                && release(uname).is_some_and(|it| it < KERNEL_FLUSHES_BARE) =>
        {
            let finding = format!("{finding}, without a journal");
            let remedy = "before Linux 6.5 it does not flush the disk after an overwrite, so `synced` records may not survive a \
                          power loss: run a newer kernel, or give it a journal (unmount it, then tune2fs -O has_journal)";
            check(NAME, Level::Warn, finding, remedy)
        }
        _ => ok(NAME, finding),
    }
}

fn device(storage: &Storage) -> Option<Check> {
    let device = storage.device.as_ref()?;
    let cache = device.write_cache.as_deref().unwrap_or("unknown");
    let fua = match device.fua {
        Some(true) => ", FUA",
        Some(false) if cache == "write back" => ", no FUA: every synced write flushes the cache",
        _ => "",
    };
    let scheduler = device.scheduler.as_deref().unwrap_or("unknown");
    let finding = format!("{}, scheduler {scheduler}, write cache {cache}{fua}", device.name);
    // Virtual disks always claim to spin. They can be told from real ones because they name no model.
    if device.rotational == Some(true) && device.model.is_some() {
        return Some(check(
            "device",
            Level::Warn,
            finding,
            "this disk spins: the figures will show its seeks rather than the engine",
        ));
    }
    Some(ok("device", finding))
}

pub(super) fn cores(cpu: &Cpu, needs: &Needs) -> Check {
    let allowed = cpu.cores_allowed.len();
    let finding =
        format!("{allowed} of {} usable, {}", cpu.cores_online, cpu.model.as_deref().unwrap_or("unknown"));
    let wanted = needs.shards as usize + 1;
    if allowed < wanted {
        let remedy = "use a machine with a core for each shard and one for the load: on a shared core they slow each other down";
        return check("cores", Level::Warn, finding, remedy);
    }
    ok("cores", finding)
}

/// Reports the cores that handle the disk's interrupts. This is no fault, but shards should run on other cores.
fn interrupts(cores: &[u32], cpu: &Cpu) -> Option<Check> {
    if cores.is_empty() || cores.len() >= cpu.cores_allowed.len() {
        return None;
    }
    let list: Vec<_> = cores.iter().map(u32::to_string).collect();
    let finding = format!("those of the disk go to core {}; shards run best on other cores", list.join(", "));
    Some(ok("interrupts", finding))
}

pub(super) fn governor(cpu: &Cpu) -> Check {
    const NAME: &str = "governor";
    match cpu.governors.as_slice() {
        [] => ok(NAME, "none (the clock is not scaled by this kernel)"),
        [only] if only == "performance" => ok(NAME, "performance"),
        others => {
            let remedy = "keep the clock steady: `sudo cpupower frequency-set -g performance`";
            check(NAME, Level::Warn, others.join(", "), remedy)
        }
    }
}

pub(super) fn memory(memory: &Memory, cgroup: &Cgroup, needs: &Needs) -> Check {
    const NAME: &str = "memory";
    let (Some(available), Some(total)) = (memory.available_bytes, memory.total_bytes) else {
        return ok(NAME, "unknown");
    };
    let arenas_bytes = needs.arena_bytes.saturating_mul(u64::from(needs.shards));
    let is_limited = cgroup.memory_limit_bytes.is_some_and(|limit| limit <= total);
    let of = if is_limited { ", the limit of the control group" } else { "" };
    let finding = format!("{} available of {}{of}", quantity::bytes(available), quantity::bytes(total));
    if available < MEMORY_BYTES_MIN.max(arenas_bytes.saturating_mul(2)) {
        return check(NAME, Level::Warn, finding, "end other processes, or lower engine.arena_bytes");
    }
    ok(NAME, finding)
}

pub(super) fn huge_pages(memory: &Memory) -> Option<Check> {
    const NAME: &str = "huge pages";
    let mode = memory.transparent_huge_pages.as_deref()?;
    if mode == "always" {
        let remedy = "the kernel stalls threads while it compacts memory for them: \
                      `echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled`";
        return Some(check(NAME, Level::Warn, "transparent: always", remedy));
    }
    Some(ok(NAME, format!("transparent: {mode}")))
}

pub(super) fn load(environment: &Environment) -> Check {
    const NAME: &str = "load";
    let Some(average) = environment.load.average_1m else { return ok(NAME, "unknown") };
    let finding = format!("{average:.2} over the last minute");
    if average > f64::from(environment.cpu.cores_online) * 0.25 {
        return check(
            NAME,
            Level::Warn,
            finding,
            "other processes are busy here: end them, or wait until they are done",
        );
    }
    ok(NAME, finding)
}

pub(super) fn steal(load: &Load) -> Check {
    const NAME: &str = "steal";
    let Some(share) = load.steal_share_since_boot else { return ok(NAME, "unknown") };
    let finding = format!("{} of the CPU time since boot went to other machines", quantity::percent(share));
    if share > STEAL_SHARE_MAX {
        return check(NAME, Level::Warn, finding, "use a machine with dedicated cores, and more trials");
    }
    ok(NAME, finding)
}

pub(super) fn jitter_probe(jitter: &Jitter) -> Check {
    const NAME: &str = "jitter";
    let finding = format!(
        "a spinning thread lost {} of 200 ms, at most {} at once",
        quantity::percent(jitter.lost_share),
        quantity::ns(jitter.gap_ns_max)
    );
    if jitter.gap_ns_max > GAP_NS_MAX || jitter.lost_share > LOST_SHARE_MAX {
        let remedy =
            "such gaps show in p99 and above: end other work, pin it to other cores, or use dedicated cores";
        return check(NAME, Level::Warn, finding, remedy);
    }
    ok(NAME, finding)
}

pub(super) fn profile(build: &Build) -> Check {
    if build.profile == "release" {
        return ok("build", format!("{} release", build.version));
    }
    let finding = format!("{} {}", build.version, build.profile);
    check(
        "build",
        Level::Warn,
        finding,
        "figures of this build mean nothing: build with `cargo build --release`",
    )
}

/// Displays an error with its causes, as `anyhow` does with `{:#}`.
struct Chain<'a>(&'a DeviceError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
