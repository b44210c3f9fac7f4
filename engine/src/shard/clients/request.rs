//! A request of another thread to a shard, and its answer. The caller may give up on a stuck shard. Then the shard does not
//! begin the request any more, or undoes it.

use super::mailbox::{Mailbox, Task};
use crate::shard::Shard;
use crossbeam::channel;
use futures_util::FutureExt as _;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const ANSWERED: u8 = 2;
const WITHDRAWN: u8 = 3;

/// The state of a request, on which its caller and the shard agree: `WAITING`, `BEGUN`, `ANSWERED` or `WITHDRAWN`.
#[derive(Debug, Default)]
struct Claim(AtomicU8);

impl Claim {
    /// Notes that the shard begins. Returns `false` if the caller has withdrawn.
    fn begin(&self) -> bool {
        self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Notes that the shard has the result. Returns `false` if the caller has withdrawn.
    fn answer(&self) -> bool {
        self.0.compare_exchange(BEGUN, ANSWERED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Withdraws the request, unless it is answered. Returns its state before.
    fn withdraw(&self) -> u8 {
        let withdraw = |state| (state != ANSWERED).then_some(WITHDRAWN);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, withdraw).unwrap_or_else(|state| state)
    }
}

/// The reason why a withdrawn request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The shard never begins it.
    NotBegun,
    /// The shard has begun it, and may finish it. Then it undoes what can be undone.
    Begun,
}

/// The pending answer to a request.
pub(crate) struct Answer<R> {
    result: channel::Receiver<R>,
    claim: Arc<Claim>,
    mailbox: Arc<Mailbox>,
}

impl<R> Answer<R> {
    /// Waits for the answer. Returns `None` if the shard is stuck or closed. A stuck shard does the work once it moves.
    pub(crate) fn wait(self) -> Option<R> {
        self.receive()
    }

    /// Waits for the answer. If the shard is stuck or closed, withdraws the request.
    pub(crate) fn wait_or_withdraw(self) -> Result<R, Unanswered> {
        if let Some(outcome) = self.receive() {
            return Ok(outcome);
        }
        match self.claim.withdraw() {
            WAITING => Err(Unanswered::NotBegun),
            // The answer is on its way.
            ANSWERED => self.result.recv().map_err(|_| Unanswered::Begun),
            _ => Err(Unanswered::Begun),
        }
    }

    fn receive(&self) -> Option<R> {
        loop {
            match self.result.recv_timeout(Duration::from_millis(50)) {
                Ok(outcome) => return Some(outcome),
                Err(channel::RecvTimeoutError::Timeout) if !self.mailbox.is_stuck() => {}
                Err(_) => return None,
            }
        }
    }
}

/// Makes the task that does `work` on a shard, and its pending answer. If the caller withdraws meanwhile, `undo` gets the
/// result.
pub(crate) fn request<R, W, F, U, G>(mailbox: &Arc<Mailbox>, work: W, undo: U) -> (Task, Answer<R>)
where
    R: Send + 'static,
    W: FnOnce(Rc<Shard>) -> F + Send + 'static,
    F: Future<Output = R> + 'static,
    U: FnOnce(Rc<Shard>, R) -> G + Send + 'static,
    G: Future<Output = ()> + 'static,
{
    let (report, result) = channel::bounded(1);
    let claim = Arc::new(Claim::default());
    let answer = Answer { result, claim: Arc::clone(&claim), mailbox: Arc::clone(mailbox) };
    let task: Task = Box::new(move |shard| {
        let run = async move {
            if !claim.begin() {
                return;
            }
            let outcome = work(Rc::clone(&shard)).await;
            if claim.answer() {
                drop(report.send(outcome));
            } else {
                undo(shard, outcome).await;
            }
        };
        run.boxed_local()
    });
    (task, answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_begun_or_withdrawn_and_answered_or_undone() {
        let claim = Claim::default();
        assert_eq!(claim.withdraw(), WAITING);
        assert!(!claim.begin() && !claim.answer());
        let claim = Claim::default();
        assert!(claim.begin() && !claim.begin());
        assert_eq!(claim.withdraw(), BEGUN);
        assert!(!claim.answer(), "it is undone");
        let claim = Claim::default();
        assert!(claim.begin() && claim.answer());
        assert_eq!((claim.withdraw(), claim.withdraw()), (ANSWERED, ANSWERED));
    }
}
