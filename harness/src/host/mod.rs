//! This machine: its files in /proc and /sys, the storage below a directory, memory, and the use of CPU and disk. This
//! folder only reads, except for [`memory`], which touches memory before a trial.

mod cgroup;
pub mod core_messages;
pub mod disk_use;
pub mod environment;
pub mod leftovers;
pub mod machine_id;
pub mod memory;
pub mod processes;
pub mod procfs;
pub mod storage;
pub mod usage;
