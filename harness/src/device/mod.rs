//! The device without a log: raw io_uring on a plain thread. Its speed is the ceiling that every system is compared
//! with.
//!
//! It shares no code with the engine's ring. A fault of one must not hide in the other.

mod bare;
mod buffers;
mod commits;
mod error;
mod flushes;
mod grid;
mod probe;
mod replay;
mod ring;
mod scratch;
mod session;
mod slice;
mod spec;
pub mod survey;

pub use bare::{BareDevice, bare_device};
pub use commits::{Commit, Commits};
pub use error::DeviceError;
pub(crate) use error::MEMLOCK_REMEDY;
pub use grid::{BestCell, DeviceBest, device_best};
pub use probe::{DirProbe, disabled_sysctl, probe, probe_dir};
pub use replay::{REPLAY_DEPTH_MAX, Replay, ReplaySync};
pub use session::{Ceiling, Dsync4k};
pub use spec::{
    BLOCK_ALIGN_BYTES, BUFFER_BYTES_MAX, CeilingSlice, CeilingSpec, DEPTH_MAX, Extent, FILES_MAX, Reap,
    Registration, ReplaySlice, Sync, Work,
};
