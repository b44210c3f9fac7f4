//! Producers on several threads that find no room in a mailbox, and the description of a stuck shard.

use super::*;
use crate::shard::Ticket;
use crate::shard::pulse::Phase;
use std::task::Wake;
use std::thread::Thread;
use std::time::Instant;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns an append of 60 bytes.
fn append(inbox: &Arc<AckInbox>) -> Append {
    let reply = Reply { inbox: Arc::clone(inbox), ticket: Ticket::new(0, 0) };
    Append { slot: 0, batch: vec![0; 60], level: None, reply }
}

/// Puts `count` appends in; sleeps whenever there is no room.
fn produce(mailbox: &Mailbox, count: usize) {
    let inbox = Arc::new(AckInbox::new(1));
    let thread = Waker::from(Arc::new(Unpark(std::thread::current())));
    for _ in 0..count {
        let mut append = append(&inbox);
        loop {
            inbox.waker.register(&thread);
            match mailbox.try_append(append, &inbox.waker) {
                Ok(()) => break,
                Err(Refusal::Full(back)) => append = back,
                Err(refusal) => panic!("{refusal:?}"),
            }
            std::thread::park();
        }
    }
}

#[test]
fn producers_that_find_no_room_are_woken_once_there_is_some() {
    const PRODUCERS: usize = 3;
    const COUNT: usize = 5_000;
    // Room for one.
    let mailbox = Arc::new(Mailbox::new(0, 100));
    for _ in 0..PRODUCERS {
        let mailbox = Arc::clone(&mailbox);
        std::thread::spawn(move || produce(&mailbox, COUNT));
    }
    let (mut taken, mut taken_at) = (0, Instant::now());
    while taken < PRODUCERS * COUNT {
        if let Some(append) = mailbox.pop_append() {
            mailbox.release_bytes(append.batch.len());
            mailbox.wake_waiting_clients();
            (taken, taken_at) = (taken + 1, Instant::now());
        } else {
            assert!(taken_at.elapsed() < Duration::from_secs(30), "all sleep after {taken}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_description_of_a_stuck_shard_names_its_wait_and_everything_that_waits_for_it() {
    let mailbox = Mailbox::new(7, 1 << 10);
    // The shard's thread is this one.
    mailbox.pulse.begin();
    let inbox = Arc::new(AckInbox::new(7));
    for _ in 0..2 {
        mailbox.try_append(append(&inbox), &inbox.waker).unwrap();
    }
    mailbox.put_without_wake(Box::new(|_| Box::pin(std::future::ready(()))));
    mailbox.pulse.begin_turn(0);
    for (phase, wait) in [
        (Phase::Turn, "its pump is in a turn"),
        (Phase::CallersTask, "its pump runs a caller's task"),
        (Phase::ReactorTurn, "its pump waits for the reactor"),
        (Phase::Parked, "its pump is parked"),
    ] {
        mailbox.pulse.begin_wait(phase, 3);
        let text = mailbox.describe_stuck(Duration::from_secs(2));
        let expected = format!(
            "shard 7 is stuck: it has not moved for 2s; {wait} after 1 turns; 3 operations in flight; \
             waiting: 2 appends (120 bytes) and 1 calls; "
        );
        let Some(thread) = text.strip_prefix(&expected) else { panic!("{text}") };
        // The kernel shows where a thread of this process waits, and its state and times.
        let stat = format!("stat: {} (", rustix::thread::gettid().as_raw_nonzero());
        assert!(thread.contains(&stat), "{text}");
    }
}
