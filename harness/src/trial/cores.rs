//! The cores of the shards and of the load threads.

use crate::exit::UsageError;
use crate::host::environment::siblings;
use crate::load::load_thread::Idle;
use crate::num;
use crate::result::provenance::CoresUsed;
use crate::workload::{Deployment, LoadMode, Workload};
use rustix::process::setpriority_process;

/// The nice value of load threads that pace an open load: the highest priority that is not a real-time one.
///
/// The kernel's own threads complete synced writes on the core that takes the disk's interrupts. With two cores that is
/// often the core of the load. A load thread of the same priority then waits behind them when a record is due.
pub const PACED_NICE: i32 = -20;

/// The cores of a combination, and how its load threads wait.
#[derive(Debug, Clone)]
pub struct Place {
    /// The cores of shards and load threads.
    pub cores: CoresUsed,
    /// The way in which load threads wait while nothing is due.
    pub(crate) idle: Idle,
}

impl Place {
    /// Chooses cores among those that this process may use.
    ///
    /// # Errors
    /// The workload names a core that this process may not use.
    pub fn choose(workload: &Workload, allowed: &[u32]) -> anyhow::Result<Self> {
        let ordered = apart(allowed, &siblings(allowed));
        let mut cores = choose(workload.deployment(), &ordered)?;
        let idle = if workload.deployment().is_in_process() {
            idle_of(&cores, allowed, workload.load.mode)
        } else {
            // The threads of the client, and perhaps the system's processes, need the cores.
            Idle::Sleep
        };
        // Tests of this crate run side by side, and would keep one another from the cores.
        if !cfg!(test) && needs_priority(&cores, idle, workload.load.mode) && is_priority_granted() {
            cores.load_nice = Some(PACED_NICE);
        }
        Ok(Self { cores, idle })
    }
}

/// Whether the load threads need a high priority: they pace records, sleep in between, and share no core with a shard.
fn needs_priority(cores: &CoresUsed, idle: Idle, mode: LoadMode) -> bool {
    let is_apart = !cores.load.is_empty() && !cores.load.iter().any(|core| cores.shards.contains(core));
    mode.rate().is_some() && idle == Idle::Sleep && is_apart
}

/// Whether a thread of this process may have the priority [`PACED_NICE`]. A thread that ends afterwards tries it.
fn is_priority_granted() -> bool {
    std::thread::spawn(|| setpriority_process(None, PACED_NICE).is_ok()).join().unwrap_or(false)
}

/// Orders cores so that the first ones share no physical core: first a hardware thread of each physical core, then the others. A
/// spinning thread takes half of the speed of its sibling.
fn apart(allowed: &[u32], siblings: &[Vec<u32>]) -> Vec<u32> {
    let rank = |core: &u32| {
        let group = siblings.iter().find(|group| group.contains(core));
        let before = |group: &Vec<u32>| {
            group.iter().filter(|thread| allowed.contains(thread)).position(|thread| thread == core)
        };
        group.and_then(before).unwrap_or(0)
    };
    let mut ordered = allowed.to_vec();
    // The sort is stable, so cores of the same rank stay in ascending order.
    ordered.sort_by_key(rank);
    ordered
}

/// Chooses the cores of shards and load threads. Cores that the workload names are taken as they are. For the rest the first
/// free cores are taken: one a shard, then one a load thread. If no core is left, the load threads share the last shard's.
/// Colocated load has no cores of its own.
///
/// # Errors
/// The workload names a core that this process may not use.
fn choose(settings: Deployment<'_>, allowed: &[u32]) -> anyhow::Result<CoresUsed> {
    for core in settings.cores.shards.iter().chain(&settings.cores.load) {
        if !allowed.contains(core) {
            return Err(UsageError::error(format!(
                "engine.cores: core {core} is not among the cores this process may use ({})",
                listed(allowed)
            )));
        }
    }
    let wanted = num::index(settings.shards);
    let shards = if settings.cores.shards.is_empty() {
        let free = allowed.iter().filter(|core| !settings.cores.load.contains(core));
        // If there are fewer cores than shards, shards share cores.
        free.chain(allowed.iter().cycle()).take(wanted).copied().collect()
    } else {
        settings.cores.shards.clone()
    };
    let load = if settings.is_colocated() {
        Vec::new()
    } else if settings.cores.load.is_empty() {
        let free: Vec<u32> = allowed.iter().filter(|core| !shards.contains(core)).copied().collect();
        let last = shards.last().copied().into_iter().collect();
        if free.is_empty() { last } else { free.into_iter().take(wanted).collect() }
    } else {
        settings.cores.load.clone()
    };
    Ok(CoresUsed { shards, load, load_nice: None })
}

/// The way in which load threads wait. A thread stays awake only on a core without a shard. Under a closed load it polls for
/// acks. Under other loads it spins through short waits, if another core is left for the rest of the machine.
fn idle_of(cores: &CoresUsed, allowed: &[u32], mode: LoadMode) -> Idle {
    let shared = cores.load.iter().any(|core| cores.shards.contains(core));
    let used = cores.shards.len() + cores.load.len();
    match mode {
        _ if shared => Idle::Sleep,
        LoadMode::Closed { .. } => Idle::Poll,
        _ if used < allowed.len() => Idle::Spin,
        _ => Idle::Sleep,
    }
}

fn listed(cores: &[u32]) -> String {
    let mut cores = cores.to_vec();
    cores.sort_unstable();
    cores.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Cores;
    use crate::workload::{Arrival, EngineSettings, Placement, Profile, Rate};

    fn chosen(shards: u32, cores: Cores, allowed: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let used = cores_of(EngineSettings { shards, cores, ..EngineSettings::default() }, allowed).unwrap();
        (used.shards, used.load)
    }

    fn cores_of(engine: EngineSettings, allowed: &[u32]) -> anyhow::Result<CoresUsed> {
        choose(Workload { engine, ..Workload::default() }.deployment(), allowed)
    }

    #[test]
    fn shards_come_first_and_the_load_gets_what_is_left() {
        assert_eq!(chosen(1, Cores::default(), &[0, 1]), (vec![0], vec![1]));
        assert_eq!(chosen(2, Cores::default(), &[2, 3, 4, 5, 6]), (vec![2, 3], vec![4, 5]));
        assert_eq!(chosen(2, Cores::default(), &[0, 1, 2]), (vec![0, 1], vec![2]));
    }

    #[test]
    fn hardware_threads_of_one_core_come_last() {
        let pairs = [vec![0, 1], vec![2, 3], vec![4, 5]];
        assert_eq!(apart(&[0, 1, 2, 3, 4, 5], &pairs), [0, 2, 4, 1, 3, 5]);
        assert_eq!(apart(&[1, 2, 3], &pairs), [1, 2, 3], "the other thread of core 1 is not ours");
        let far = [vec![0, 2], vec![1, 3]];
        assert_eq!(apart(&[0, 1, 2, 3], &far), [0, 1, 2, 3]);
        assert_eq!(apart(&[0, 1], &[]), [0, 1]);
        let used = chosen(2, Cores::default(), &apart(&[0, 1, 2, 3, 4, 5], &pairs));
        assert_eq!(used, (vec![0, 2], vec![4, 1]));
    }

    #[test]
    fn too_few_cores_are_shared() {
        assert_eq!(chosen(1, Cores::default(), &[3]), (vec![3], vec![3]));
        assert_eq!(chosen(3, Cores::default(), &[0, 1]), (vec![0, 1, 0], vec![0]));
    }

    #[test]
    fn colocated_load_needs_no_core() {
        let settings = EngineSettings { placement: Placement::Colocated, ..EngineSettings::default() };
        let used = cores_of(settings, &[0, 1]).unwrap();
        assert_eq!((used.shards, used.load), (vec![0], vec![]));
    }

    #[test]
    fn what_the_workload_names_is_taken_and_a_core_it_cannot_have_is_refused() {
        let cores = Cores { shards: vec![], load: vec![0] };
        assert_eq!(chosen(1, cores, &[0, 1]), (vec![1], vec![0]));
        let cores = Cores { shards: vec![9], load: vec![] };
        let settings = EngineSettings { cores, ..EngineSettings::default() };
        assert!(cores_of(settings, &[0, 1]).unwrap_err().to_string().contains("core 9"));
    }

    fn used(shards: &[u32], load: &[u32]) -> CoresUsed {
        CoresUsed { shards: shards.into(), load: load.into(), load_nice: None }
    }

    #[test]
    fn only_threads_that_pace_records_on_a_core_of_their_own_get_priority() {
        let rate = Rate::Share(0.5);
        let open = LoadMode::Open { rate, arrival: Arrival::Constant, profile: Profile::Constant };
        assert!(needs_priority(&used(&[0], &[1]), Idle::Sleep, open));
        assert!(!needs_priority(&used(&[0], &[0]), Idle::Sleep, open), "the shard needs the core");
        assert!(
            !needs_priority(&used(&[0], &[1]), Idle::Spin, open),
            "a spinning thread would keep the kernel's threads out"
        );
        assert!(!needs_priority(&used(&[0], &[1]), Idle::Sleep, LoadMode::Max), "nothing is due");
        assert!(!needs_priority(&used(&[0], &[]), Idle::Sleep, open), "there is no load thread");
    }

    #[test]
    fn only_on_a_core_of_its_own_a_thread_stays_awake() {
        let idle = |shards, load, allowed, mode| idle_of(&used(shards, load), allowed, mode);
        assert_eq!(idle(&[0], &[1], &[0, 1], LoadMode::Max), Idle::Sleep);
        assert_eq!(idle(&[0], &[1], &[0, 1, 2], LoadMode::Max), Idle::Spin);
        assert_eq!(idle(&[0], &[0], &[0, 1, 2], LoadMode::Max), Idle::Sleep);
        let closed = LoadMode::Closed { in_flight: 1 };
        assert_eq!(idle(&[0], &[1], &[0, 1], closed), Idle::Poll);
        assert_eq!(idle(&[0], &[0], &[0, 1], closed), Idle::Sleep);
    }
}
