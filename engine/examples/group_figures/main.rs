//! Measures consumer groups, and compares the figures with their targets.
//!
//! usage: `cargo run --release -p vnotch-engine --example group_figures -- [DATA_DIR] [rebalances|commits]`
//!
//! The directory, `target/group-figures` unless it is named, is made and removed. The exit status is 1 if a target is missed.
//! The figures mean something on a quiet machine only, and with a release build.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing example says enough by its panic")]

mod commits;
mod rebalances;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vnotch_engine::config::{EngineConfig, GroupsConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::types::Durability;

/// The figures of a run, with their targets.
#[derive(Debug, Default)]
struct Figures {
    has_missed: bool,
}

impl Figures {
    /// Prints a figure that has a target.
    fn judge(&mut self, figure: &str, is_met: bool, target: &str) {
        self.has_missed |= !is_met;
        println!("{} {figure} (target: {target})", if is_met { "ok    " } else { "MISSED" });
    }

    /// Prints a figure without a target.
    fn note(figure: &str) {
        println!("       {figure}");
    }
}

/// Opens an engine in a new directory below `dir`, with a topic `t` of 64 partitions.
fn open(dir: &Path, name: &str, shards: u32, level: Durability) -> Engine {
    let data = dir.join(name);
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data).unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    let groups = GroupsConfig {
        group_initial_rebalance_delay_ms: 0,
        group_min_session_timeout_ms: 100,
        offsets_topic_durability: level,
        ..GroupsConfig::default()
    };
    let config = EngineConfig {
        shards,
        cores: (0..shards as usize).map(|shard| shard % cores).collect(),
        groups,
        ..EngineConfig::new(data)
    };
    let engine = Engine::open(config).unwrap();
    engine.create_topic("t", PARTITIONS, TopicConfig::default()).unwrap();
    engine
}

/// Number of partitions of the topic.
const PARTITIONS: u32 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| PathBuf::from("target/group-figures"), PathBuf::from);
    let only = arguments.next();
    let wants = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut figures = Figures::default();
    if wants("rebalances") {
        rebalances::measure(&dir, &mut figures);
    }
    if wants("commits") {
        commits::measure(&dir, &mut figures);
    }
    let _ = std::fs::remove_dir_all(&dir);
    if figures.has_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
