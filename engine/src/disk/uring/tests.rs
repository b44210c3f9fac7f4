//! The ring on the real kernel.

use super::operation::Keep;
use super::*;
use glommio::{LocalExecutorBuilder, Placement};
use io_uring::squeue::Flags;
use rustix::event::{EventfdFlags, eventfd};
use std::future::Future;
use std::os::fd::RawFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` on an executor of its own; fails if it does not end.
fn on_executor<R, F>(work: impl FnOnce(Ring) -> F + Send + 'static) -> R
where
    R: Send + 'static,
    F: Future<Output = R> + 'static,
{
    let (report, ended) = mpsc::channel();
    let executor = LocalExecutorBuilder::new(Placement::Unbound).spawn(move || async move {
        let ring = Ring::new().unwrap();
        let outcome = work(ring.clone()).await;
        ring.close().await;
        report.send(outcome).unwrap();
    });
    let executor = executor.unwrap();
    let Ok(outcome) = ended.recv_timeout(PATIENCE) else { panic!("it failed or does not end") };
    executor.join().unwrap();
    outcome
}

/// The counter of an eventfd of this process.
fn event_count(fd: RawFd) -> u64 {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap();
    u64::from_str_radix(count.trim(), 16).unwrap()
}

#[test]
fn reactor_turns_use_nothing_up() {
    let (before, after) = on_executor(|ring| async move {
        let before = event_count(ring.event_fd());
        for _ in 0..10_000 {
            ring.reactor_turn().await.unwrap();
        }
        (before, event_count(ring.event_fd()))
    });
    assert_eq!((before, after), (0, 0));
}

#[test]
fn a_park_returns_for_a_wake_that_came_before_it() {
    on_executor(|ring| async move {
        ring.waker().wake();
        ring.park(None).await.unwrap();
        let begun = Instant::now();
        let until = begun + Duration::from_millis(20);
        ring.park(Some(until)).await.unwrap();
        assert!(Instant::now() >= until, "the first wake counted twice");
    });
}

fn nop(ring: &Ring, flags: Flags) -> super::operation::Operation {
    // SAFETY: the entry points to nothing.
    unsafe { ring.start(opcode::Nop::new().build().flags(flags), Keep::default()) }
}

#[test]
fn operations_behind_a_refused_one_are_submitted_too() {
    let results = on_executor(|ring| async move {
        // The kernel ends a submission at an entry that it refuses: a buffer to select means nothing here.
        let operations = [Flags::empty(), Flags::BUFFER_SELECT, Flags::empty(), Flags::empty()]
            .map(|flags| nop(&ring, flags));
        ring.submit();
        let begun = Instant::now();
        while ring.in_flight() > 0 {
            ring.reap();
            assert!(begun.elapsed() < Duration::from_secs(10), "{} were not submitted", ring.in_flight());
        }
        let mut results = Vec::new();
        for operation in operations {
            results.push(operation.await.0);
        }
        results
    });
    assert_eq!(results, [0, -libc::EOPNOTSUPP, 0, 0]);
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// Has signals interrupt system calls of this process's threads, as a debugger or a stop does.
fn interrupt_on(signal: libc::c_int) {
    // SAFETY: the structure is plain data, for which zero is a value; the handler does nothing, so it may run anywhere.
    let outcome = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(outcome, 0);
}

#[test]
fn a_signal_does_not_end_the_wait_for_operations_in_flight() {
    interrupt_on(libc::SIGUSR2);
    let left = on_executor(|ring| async move {
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let entry =
            opcode::PollAdd::new(types::Fd(event.as_raw_fd()), u32::from(libc::POLLIN.unsigned_abs()))
                .build();
        // SAFETY: the entry points to nothing, and `event` outlives the drain.
        let operation = unsafe { ring.start(entry, Keep::default()) };
        // SAFETY: the calling thread's own handle.
        let thread = unsafe { libc::pthread_self() };
        let left = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..50 {
                    // SAFETY: the thread waits for this scope, so its handle is valid.
                    unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
                    std::thread::sleep(Duration::from_millis(1));
                }
                rustix::io::write(&event, &1u64.to_ne_bytes()).unwrap();
            });
            ring.drain();
            ring.in_flight()
        });
        assert_eq!(operation.await.0, i32::from(libc::POLLIN));
        left
    });
    assert_eq!(left, 0);
}

#[test]
fn a_file_is_closed_once_its_last_clone_and_its_last_operation_are_gone() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = dir.path().join("file");
    on_executor(move |ring| async move {
        let disk = UringDisk::new(ring.clone());
        ring.submit();
        let open = disk.open(&path, OpenMode::CreateNew, IoMode::Buffered);
        let file = finish(&ring, open).await.unwrap();
        let link = PathBuf::from(format!("/proc/self/fd/{}", file.inner.fd.as_raw_fd()));
        let mut sync = Box::pin({
            let file = file.clone();
            async move { file.sync().await }
        });
        assert!(futures_util::poll!(&mut sync).is_pending());
        drop((sync, file));
        assert_eq!(std::fs::read_link(&link).unwrap(), path, "the sync under way needs it");
        ring.drain();
        assert_ne!(std::fs::read_link(&link).ok().as_ref(), Some(&path));
    });
}

/// Runs operations of `ring` to their end.
async fn finish<R>(ring: &Ring, work: impl Future<Output = R>) -> R {
    let mut work = Box::pin(work);
    loop {
        if let std::task::Poll::Ready(outcome) = futures_util::poll!(&mut work) {
            return outcome;
        }
        ring.drain();
    }
}
