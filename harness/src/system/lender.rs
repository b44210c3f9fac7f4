//! Systems that a comparison keeps running for all its trials, each of which is a process of its own.

use std::path::Path;

/// The systems that are kept running. They end with this value.
#[derive(Debug, Default)]
pub struct Lender {
    #[cfg(feature = "kafka")]
    brokers: super::kafka::Lender,
}

impl Lender {
    /// Returns the environment of a trial whose workload has these keys and values. A system that such trials share is started
    /// if it does not run yet, with its data below `data_dir`.
    ///
    /// # Errors
    /// The system cannot be started.
    pub fn environment(
        &mut self,
        resolved: &serde_json::Value,
        data_dir: &Path,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        #[cfg(feature = "kafka")]
        if let Some(kafka) = super::kafka::started_by(resolved) {
            return Ok(vec![self.brokers.lend(&kafka, data_dir)?]);
        }
        let _ = (resolved, data_dir);
        Ok(Vec::new())
    }

    /// Notes that a trial has ended with figures.
    pub fn served(&mut self, resolved: &serde_json::Value) {
        #[cfg(feature = "kafka")]
        if let Some(kafka) = super::kafka::started_by(resolved) {
            self.brokers.warmed(&kafka);
        }
        let _ = resolved;
    }
}
