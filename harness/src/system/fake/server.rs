//! The server of a fake system: its service times and its hangs.

/// A server of batches, in order of their arrival. It stands still for the first `hang_ns` of every `period_ns`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    /// Time for each record, in nanoseconds.
    pub(crate) record_ns: u64,
    /// Further times, in nanoseconds, one for each batch in turn.
    pub(crate) batch_ns: Vec<u64>,
    /// Time between the beginnings of two hangs, in nanoseconds; 0 if there are none.
    pub(crate) period_ns: u64,
    /// Length of a hang, in nanoseconds.
    pub(crate) hang_ns: u64,
    /// Time at which everything that has arrived is served.
    pub(crate) free_ns: u64,
    /// Number of batches that have arrived.
    pub(crate) served: usize,
}

impl Server {
    /// Returns the time at which a batch that arrives at `now_ns` is served.
    pub(super) fn serve(&mut self, now_ns: u64, records: u64) -> u64 {
        let extra_ns = self.batch_ns.get(self.served % self.batch_ns.len().max(1)).copied().unwrap_or(0);
        self.served += 1;
        let mut left_ns = records * self.record_ns + extra_ns;
        self.free_ns = self.free_ns.max(now_ns);
        if self.period_ns > 0 {
            // Work is done between the end of a hang and the beginning of the next.
            loop {
                let into_ns = self.free_ns % self.period_ns;
                self.free_ns += self.hang_ns.saturating_sub(into_ns);
                let until_hang_ns = self.period_ns - self.free_ns % self.period_ns;
                let worked_ns = left_ns.min(until_hang_ns);
                (self.free_ns, left_ns) = (self.free_ns + worked_ns, left_ns - worked_ns);
                if left_ns == 0 {
                    return self.free_ns;
                }
            }
        }
        self.free_ns += left_ns;
        self.free_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_served_in_order_and_not_during_hangs() {
        let mut server = Server { record_ns: 10, batch_ns: vec![0, 5], ..Server::default() };
        assert_eq!([server.serve(100, 3), server.serve(110, 1), server.serve(500, 2)], [130, 145, 520]);
        let mut hanging = Server { record_ns: 10, period_ns: 1000, hang_ns: 400, ..Server::default() };
        assert_eq!(
            [hanging.serve(100, 1), hanging.serve(100, 70), hanging.serve(5000, 1)],
            [410, 1510, 5410]
        );
    }
}
