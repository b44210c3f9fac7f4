//! The problems of a workload.

/// A fault of a workload, with the keys that cause it. The likeliest cause comes first.
#[derive(Debug)]
pub(in crate::workload) struct Problem {
    pub(in crate::workload) keys: Vec<String>,
    pub(in crate::workload) message: String,
}

/// Collects problems.
#[derive(Default)]
pub(in crate::workload) struct Problems(pub(in crate::workload) Vec<Problem>);

impl Problems {
    /// All problems.
    pub(in crate::workload) fn into_list(self) -> Vec<Problem> {
        self.0
    }

    /// Adds a problem with `keys`. The message points at the first of them that was written.
    pub(in crate::workload) fn refuse(&mut self, keys: &[&str], message: impl Into<String>) {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        self.0.push(Problem { keys, message: message.into() });
    }
}
