//! What this kernel's io_uring can do, asked of a ring that is thrown away.

use super::{DeviceError, ring};
use io_uring::{IoUring, Probe, opcode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The features and operations of the kernel's io_uring that a log engine can make use of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RingProbe {
    /// Feature flags of io_uring_setup(2), in lower case without `IORING_FEAT_`, and set-up flags that were accepted.
    pub features: Vec<String>,
    /// Operations supported, in lower case without `IORING_OP_`.
    pub operations: Vec<String>,
}

impl RingProbe {
    /// Whether the operation (`write_fixed`, say) is supported.
    pub fn supports(&self, operation: &str) -> bool {
        self.operations.iter().any(|known| known == operation)
    }
}

/// Makes a ring and asks it.
///
/// # Errors
/// There is no io_uring, or it may not be used.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_can_be_made_reads_and_writes() {
        let probe = probe().unwrap();
        assert!(probe.supports("read") && probe.supports("write"));
        assert!(!probe.supports("teleport"));
    }
}
