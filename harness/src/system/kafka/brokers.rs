//! The brokers that serve the trials of this process: started here, or lent by the comparison that this trial is part of.
//!
//! Each trial of a comparison is a process of its own. The comparison starts the brokers once, keeps them up for all pairs, and
//! names them to its trials in the environment. Brokers that have lost a process are started again before the next trial.

use super::cluster::KafkaSystem;
use super::launch::{Launched, Setup, Started};
use crate::stderr;
use crate::system::System;
use crate::workload::{KafkaSettings, Workload};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable of the environment in which a comparison names its brokers to a trial.
pub(super) const LENT: &str = "VNOTCH_LENT_KAFKA";

/// Brokers that a comparison lends to a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Lent {
    pub(super) setup: Setup,
    pub(super) addresses: String,
    pub(super) process_group: u32,
    pub(super) dir: PathBuf,
    /// Whether a trial before has put the load on them that warms them.
    pub(super) is_warm: bool,
    /// The reason for which they were started again; `None` if they were not.
    pub(super) started_again: Option<String>,
}

impl Lent {
    /// Returns the brokers that the environment names, if they are those that `kafka` asks for.
    fn for_settings(kafka: &KafkaSettings) -> Option<Self> {
        let lent: Self = serde_json::from_str(&std::env::var(LENT).ok()?).ok()?;
        (lent.setup == Setup::of(kafka)).then_some(lent)
    }

    /// Returns brokers that were started here, as they are lent.
    fn of(brokers: &Launched, kafka: &KafkaSettings) -> Self {
        Self {
            setup: Setup::of(kafka),
            addresses: brokers.addresses().to_owned(),
            process_group: brokers.process_group(),
            dir: brokers.dir().to_owned(),
            is_warm: false,
            started_again: None,
        }
    }
}

/// Says that processes of a started Kafka have ended, and returns why it is started again.
fn started_again(lost: &[String]) -> String {
    let lost = lost.join(", ");
    stderr::line(format_args!(
        "vnotch: {lost} of the started Kafka ended; Kafka is started again for the next trial"
    ));
    format!("because {lost} had ended in an earlier trial")
}

/// The brokers of this process.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    started: Option<Launched>,
    /// The setup of the brokers that have served a system of this process.
    served: Option<Setup>,
    /// The reason for which brokers were started again; `None` if they were not.
    started_again: Option<String>,
}

impl Brokers {
    /// Returns how long load must be put on the workload's brokers before the first trial; `None` if that was done, or is not
    /// asked for.
    pub(crate) fn unwarmed(&self, workload: &Workload) -> Option<Duration> {
        let kafka = &workload.kafka;
        let have_lost = self.started.as_ref().is_some_and(|started| !started.lost().is_empty());
        let is_warm = (self.served == Some(Setup::of(kafka)) && !have_lost)
            || Lent::for_settings(kafka).is_some_and(|lent| lent.is_warm);
        let is_started_here = workload.target.address().is_none();
        Some(kafka.warm.0).filter(|warm| is_started_here && !is_warm && !warm.is_zero())
    }

    /// Opens the cluster that the workload measures. One that is started here is kept for later trials.
    ///
    /// # Errors
    /// Kafka cannot be started, no broker answers, or the client cannot be made.
    pub(crate) fn open(&mut self, workload: &Workload, data_dir: &Path) -> anyhow::Result<Box<dyn System>> {
        if let Some(brokers) = workload.target.address() {
            return Ok(Box::new(KafkaSystem::connect(workload, brokers, None)?));
        }
        let kafka = &workload.kafka;
        let warmed = self.unwarmed(workload).is_none().then_some(kafka.warm.0).filter(|warm| !warm.is_zero());
        let lent = match Lent::for_settings(kafka) {
            Some(lent) => lent,
            None => {
                let lent = Lent::of(self.start(kafka, data_dir)?, kafka);
                Lent { started_again: self.started_again.clone(), ..lent }
            }
        };
        let started = Started {
            setup: lent.setup,
            version: kafka.version.number(),
            process_group: lent.process_group,
            dir: lent.dir,
            warmed,
            started_again: lent.started_again,
        };
        let system = KafkaSystem::connect(workload, &lent.addresses, Some(started))?;
        self.served = Some(Setup::of(kafka));
        Ok(Box::new(system))
    }

    /// Starts the brokers that `kafka` asks for, unless they run.
    fn start(&mut self, kafka: &KafkaSettings, data_dir: &Path) -> anyhow::Result<&Launched> {
        let running = self.started.as_ref().filter(|started| started.is_for(kafka));
        let lost = running.map(Launched::lost);
        if lost.as_ref().is_none_or(|lost| !lost.is_empty()) {
            self.started_again = lost.map(|lost| started_again(&lost));
            // The old ones end before their data directory is used again.
            drop(self.started.take());
            self.served = None;
            self.started = Some(Launched::start(kafka, data_dir)?);
        }
        self.started.as_ref().context("Kafka was just started")
    }
}

/// The brokers that a comparison starts for its trials. They end with this value.
#[derive(Debug, Default)]
pub(crate) struct Lender {
    brokers: Vec<(Launched, Lent)>,
}

impl Lender {
    /// Returns the variable of the environment that names the brokers of `kafka` to a trial. They are started if they do not run,
    /// with their data below `data_dir`.
    ///
    /// # Errors
    /// Kafka cannot be started.
    pub(crate) fn lend(
        &mut self,
        kafka: &KafkaSettings,
        data_dir: &Path,
    ) -> anyhow::Result<(&'static str, String)> {
        // Two setups run side by side, each below a directory of its own.
        let found = self.brokers.iter().position(|(brokers, _)| brokers.is_for(kafka));
        let index = found.unwrap_or(self.brokers.len());
        let dir = || data_dir.join(super::launch::DIRECTORY).join(index.to_string());
        let lost = self.brokers.get(index).map(|(brokers, _)| brokers.lost());
        if lost.as_ref().is_none_or(|lost| !lost.is_empty()) {
            let started_again = lost.map(|lost| started_again(&lost));
            if index < self.brokers.len() {
                // The old ones end before their directory is used again.
                drop(self.brokers.remove(index));
            }
            let launched = Launched::start_in(kafka, &dir())?;
            let lent = Lent { started_again, ..Lent::of(&launched, kafka) };
            self.brokers.insert(index, (launched, lent));
        }
        let (_, lent) = &self.brokers[index];
        Ok((LENT, serde_json::to_string(lent)?))
    }

    /// Notes that a trial with these settings has ended with figures, so that its brokers are warm.
    pub(crate) fn warmed(&mut self, kafka: &KafkaSettings) {
        self.brokers
            .iter_mut()
            .filter(|(brokers, _)| brokers.is_for(kafka))
            .for_each(|(_, lent)| lent.is_warm = true);
    }
}
