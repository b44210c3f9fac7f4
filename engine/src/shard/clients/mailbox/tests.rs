//! Producers on several threads that find no room in a mailbox.

use super::*;
use crate::shard::Ticket;
use std::task::Wake;
use std::thread::Thread;
use std::time::Instant;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Puts `count` appends in; sleeps whenever there is no room.
fn produce(mailbox: &Mailbox, count: usize) {
    let inbox = Arc::new(AckInbox::new(1));
    let thread = Waker::from(Arc::new(Unpark(std::thread::current())));
    for _ in 0..count {
        let reply = Reply { inbox: Arc::clone(&inbox), ticket: Ticket::new(0, 0) };
        let mut append = Append { slot: 0, batch: vec![0; 60], level: None, reply };
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
