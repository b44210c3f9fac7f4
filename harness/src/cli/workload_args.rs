//! The workloads to run, and the keys that the command line changes in them. Shared by `run` and `check`.

use crate::system;
use crate::workload::{self, Many, Override, Study};
use std::path::{Path, PathBuf};

/// Workload files and the flags that override their keys.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkloadArgs {
    /// Workload files, or names of built-in workloads: quickstart, throughput, latency, small-records, synced, soak, rebalance;
    /// studies/segments-and-retention, studies/preallocate, studies/durability-and-batch,
    /// studies/partitions, studies/catch-up, studies/write-size-and-depth, studies/commits, studies/kafka-side-by-side (sweeps)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Override a key of the workload, such as log.segment_bytes=16MiB; the value is YAML; repeatable
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,
    /// Send records at a fixed rate, whether or not earlier ones were acked (load.mode=open, load.rate): 200k/s, or 50%,
    /// a share of what the run itself reaches at max
    #[arg(short, long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Length of the measured window, such as 30s [default: phases.measure of the workload]
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    duration: Option<String>,
    /// Length of the warm-up, such as 5s [default: phases.warmup of the workload]
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    warmup: Option<String>,
    /// Number of times that each load is measured [default: trials of the workload]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    trials: Option<String>,
    /// Seed for everything random: payloads, sizes, keys [default: payload.seed of the workload]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// Directory in which the target keeps its data [default: a new directory in the working directory, removed
    /// afterwards]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Allow a sweep of 10,000 combinations or more
    #[arg(long)]
    yes: bool,
}

impl WorkloadArgs {
    /// Reads every workload and applies the flags to each. A flag with a name of its own wins over `--set`.
    ///
    /// # Errors
    /// A [`crate::exit::UsageError`] for the first workload that is wrong.
    pub fn load(&self) -> anyhow::Result<Vec<Study>> {
        let overrides = self.overrides()?;
        let many = if self.yes { Many::Allowed } else { Many::Refused };
        self.files
            .iter()
            .map(|file| workload::load_study(file, &overrides, many, system::CAPABILITIES))
            .collect()
    }

    /// Returns the workloads as the command line named them.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Returns the value of `--data-dir`, if it was given.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// Returns the arguments that describe one workload, as they were typed: `file` and the flags that apply to it.
    pub fn typed(&self, file: &str) -> Vec<String> {
        let mut typed = vec![file.to_owned()];
        let mut add = |flag: &str, value: &str| typed.extend([flag.to_owned(), value.to_owned()]);
        self.set.iter().for_each(|set| add("--set", set));
        let flags = [
            ("--rate", &self.rate),
            ("--duration", &self.duration),
            ("--warmup", &self.warmup),
            ("--trials", &self.trials),
            ("--seed", &self.seed),
        ];
        for (flag, value) in flags {
            value.iter().for_each(|value| add(flag, value));
        }
        if let Some(dir) = &self.data_dir {
            add("--data-dir", &dir.to_string_lossy());
        }
        typed
    }

    fn overrides(&self) -> anyhow::Result<Vec<Override>> {
        let mut overrides =
            self.set.iter().map(|set| Override::set(set)).collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(rate) = &self.rate {
            overrides.push(Override::flag("--rate", rate, "load.mode", "open"));
            overrides.push(Override::flag("--rate", rate, "load.rate", rate));
            overrides.push(Override::removal("--rate", "load.in_flight"));
        }
        let keyed = [
            ("--duration", &self.duration, "phases.measure"),
            ("--warmup", &self.warmup, "phases.warmup"),
            ("--trials", &self.trials, "trials"),
            ("--seed", &self.seed, "payload.seed"),
        ];
        for (flag, argument, key) in keyed {
            if let Some(argument) = argument {
                overrides.push(Override::flag(flag, argument, key, argument));
            }
        }
        Ok(overrides)
    }
}
