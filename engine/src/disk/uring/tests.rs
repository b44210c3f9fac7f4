//! The ring on the real kernel.

use super::faults::Fault;
use super::keep::Keep;
use super::*;
use crate::buffer::{Arena, BLOCK_BYTES};
use glommio::{LocalExecutorBuilder, Placement};
use io_uring::squeue::Flags;
use rustix::event::{EventfdFlags, eventfd};
use std::future::Future;
use std::os::fd::RawFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` on an executor of its own. Fails if it does not end in time.
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
fn reactor_turns_leave_the_eventfd_at_zero() {
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
fn the_pump_can_see_that_a_worker_of_the_kernels_has_its_operation() {
    let dir = data_dir();
    let path = dir.path().join("file");
    on_executor(move |ring| async move {
        let counted = nop(&ring, Flags::empty());
        assert_eq!((ring.in_flight(), ring.workers_in_flight()), (1, 0));
        let polled = |ring: Ring| async move {
            while ring.in_flight() > 0 {
                ring.submit();
                ring.reap();
                glommio::yield_if_needed().await;
            }
        };
        polled(ring.clone()).await;
        counted.await;
        let disk = UringDisk::new(ring.clone());
        let mut opened = Box::pin(disk.open(&path, OpenMode::CreateNew, IoMode::Buffered));
        assert!(futures_util::poll!(opened.as_mut()).is_pending());
        polled(ring.clone()).await;
        let file = opened.await.unwrap();
        let mut synced = Box::pin(file.sync());
        assert!(futures_util::poll!(synced.as_mut()).is_pending());
        assert_eq!((ring.in_flight(), ring.workers_in_flight()), (1, 1));
        polled(ring.clone()).await;
        assert_eq!(ring.workers_in_flight(), 0);
        synced.await.unwrap();
        // A future that is dropped leaves its operation to the kernel.
        assert!(futures_util::poll!(Box::pin(file.sync()).as_mut()).is_pending());
        assert_eq!(ring.workers_in_flight(), 1);
        polled(ring.clone()).await;
        assert_eq!(ring.workers_in_flight(), 0);
    });
}

#[test]
fn operations_behind_a_refused_one_are_submitted_too() {
    let results = on_executor(|ring| async move {
        // The kernel ends a submission at an entry that it refuses. It refuses this one: selecting a buffer has no
        // meaning for it.
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

/// Makes signals interrupt the system calls of this process's threads, as a debugger or a stop does.
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
    let dir = data_dir();
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

#[test]
fn a_sync_that_fails_is_counted_as_its_completion_is_taken_whether_or_not_somebody_waits() {
    on_executor(|ring| async move {
        // This device takes every write, and refuses each sync.
        let (disk, path) = (UringDisk::new(ring.clone()), Path::new("/dev/null"));
        let file = finish(&ring, disk.open(path, OpenMode::ReadWrite, IoMode::Buffered)).await.unwrap();
        let before = file.failed_syncs();
        assert!(futures_util::poll!(Box::pin(file.sync()).as_mut()).is_pending());
        ring.drain();
        assert_eq!(file.failed_syncs(), before + 1);
        finish(&ring, file.sync()).await.unwrap_err();
        let counted = [file.failed_syncs(), disk.sync_failures(path).unwrap().count()];
        assert_eq!(counted, [before + 2; 2]);
        assert!(file.check_syncs(before).is_err() && file.check_syncs(before + 2).is_ok());
    });
}

/// Runs `work` to its end. Drains the ring whenever `work` waits.
async fn finish<R>(ring: &Ring, work: impl Future<Output = R>) -> R {
    let mut work = Box::pin(work);
    loop {
        if let std::task::Poll::Ready(outcome) = futures_util::poll!(&mut work) {
            return outcome;
        }
        ring.drain();
    }
}

/// Bytes of a test file: some blocks, and a part of one.
const FILE_BYTES: usize = 3 * BLOCK_BYTES + 777;

fn pattern(len_bytes: usize) -> Vec<u8> {
    (0..len_bytes).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1].wrapping_mul(31)).collect()
}

fn data_dir() -> tempfile::TempDir {
    // Not in /tmp, which may be a tmpfs without direct I/O.
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

const INTERRUPTED: Fault = Fault::Fails { errno: libc::EINTR };
const AGAIN: Fault = Fault::Fails { errno: libc::EAGAIN };

/// Overwrites the first blocks of a file, with `faults`. Returns the file's content afterwards, and the number of
/// faults left.
fn write_with(io: IoMode, faults: Vec<Fault>) -> (Result<Vec<u8>, DiskError>, usize) {
    on_executor(move |ring| async move {
        let dir = data_dir();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![0; 4 * BLOCK_BYTES]).unwrap();
        let arena = Arena::new(4 << 20).unwrap();
        ring.register_arena(&arena);
        let file =
            finish(&ring, UringDisk::new(ring.clone()).open(&path, OpenMode::ReadWrite, io)).await.unwrap();
        let mut chunk = arena.allocate(3 * BLOCK_BYTES).unwrap();
        chunk.append(&pattern(3 * BLOCK_BYTES));
        let data = WriteData::Slice(chunk.slice(0..3 * BLOCK_BYTES));
        ring.faults().add(faults);
        let written = finish(&ring, file.write(data, BLOCK_BYTES as u64, WriteSync::None)).await;
        (written.map(|()| std::fs::read(&path).unwrap()), ring.faults().len())
    })
}

#[test]
fn a_write_that_the_kernel_cuts_short_or_interrupts_is_finished() {
    let block = Fault::Short { len_bytes: 4096 };
    let odd = |len_bytes| Fault::Short { len_bytes };
    let mut expected = vec![0; BLOCK_BYTES];
    expected.extend(pattern(3 * BLOCK_BYTES));
    for (io, faults) in [
        (IoMode::Direct, vec![block, INTERRUPTED, AGAIN, block]),
        (IoMode::Direct, vec![Fault::SaysLess { len_bytes: 4096 + 512 }, block]),
        (IoMode::Buffered, vec![odd(1), INTERRUPTED, odd(4095), AGAIN, odd(5000), odd(3)]),
    ] {
        let (held, left) = write_with(io, faults);
        assert_eq!((held.unwrap() == expected, left), (true, 0), "{io:?}");
    }
}

#[test]
fn the_error_of_a_write_has_its_position() {
    let failing = Fault::Fails { errno: libc::EIO };
    let (outcome, left) = write_with(IoMode::Direct, vec![Fault::Short { len_bytes: 4096 }, failing]);
    let error = outcome.unwrap_err();
    assert_eq!((error.op, error.position, left), (DiskOp::Write, 2 * BLOCK_BYTES as u64, 0));
    assert_eq!(error.source.raw_os_error(), Some(libc::EIO));
    for (io, nothing) in [
        (IoMode::Buffered, Fault::Short { len_bytes: 0 }),
        (IoMode::Direct, Fault::SaysLess { len_bytes: 512 }),
    ] {
        let (outcome, _) = write_with(io, vec![nothing]);
        assert_eq!(outcome.unwrap_err().source.kind(), io::ErrorKind::WriteZero, "{io:?}");
    }
}

/// Reads four blocks of a file that ends before them, with `faults`. Returns the bytes read, and the number of faults
/// left.
fn read_with(io: IoMode, is_registered: bool, faults: Vec<Fault>) -> (Result<Vec<u8>, DiskError>, usize) {
    on_executor(move |ring| async move {
        let dir = data_dir();
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(FILE_BYTES)).unwrap();
        let arena = Arena::new(4 << 20).unwrap();
        if is_registered {
            assert!(ring.register_arena(&arena));
        }
        let file = finish(&ring, UringDisk::new(ring.clone()).open(&path, OpenMode::Read, io)).await.unwrap();
        let buffer = arena.allocate_read(4 * BLOCK_BYTES).unwrap();
        ring.faults().add(faults);
        let read = finish(&ring, file.read(buffer, 0, 4 * BLOCK_BYTES)).await;
        let bytes = read.map(|(buffer, len_bytes)| buffer.freeze(len_bytes).to_vec());
        (bytes, ring.faults().len())
    })
}

#[test]
fn a_read_that_the_kernel_cuts_short_or_interrupts_ends_at_the_end_of_the_file_only() {
    let short = |len_bytes| Fault::Short { len_bytes };
    let says = |len_bytes| Fault::SaysLess { len_bytes };
    for (io, faults) in [
        (IoMode::Direct, vec![]),
        (IoMode::Direct, vec![short(4096), INTERRUPTED, AGAIN, short(4096)]),
        // The read returns less than a block, and the file has more.
        (IoMode::Direct, vec![says(512), INTERRUPTED, says(4096 + 512)]),
        (IoMode::Buffered, vec![short(100), INTERRUPTED, short(3996), AGAIN, short(1), short(4096)]),
        (IoMode::Buffered, vec![says(100), says(4096)]),
    ] {
        for is_registered in [true, false] {
            let (bytes, left) = read_with(io, is_registered, faults.clone());
            let bytes = bytes.unwrap();
            assert_eq!((bytes.len(), left), (FILE_BYTES, 0), "{io:?} {faults:?}");
            assert!(bytes == pattern(FILE_BYTES), "{io:?} {faults:?}");
        }
    }
}

#[test]
fn a_read_that_makes_no_progress_inside_a_block_fails() {
    let (outcome, left) = read_with(IoMode::Direct, true, vec![Fault::SaysLess { len_bytes: 512 }; 10]);
    let error = outcome.unwrap_err();
    assert_eq!((error.op, error.position), (DiskOp::Read, 512));
    assert_eq!(error.source.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(left, 8, "it was tried once more");
}

#[test]
fn the_error_of_a_read_has_its_position() {
    let failing = Fault::Fails { errno: libc::EIO };
    let (outcome, left) = read_with(IoMode::Buffered, true, vec![Fault::Short { len_bytes: 5000 }, failing]);
    let error = outcome.unwrap_err();
    assert_eq!((error.op, error.position, left), (DiskOp::Read, 5000, 0));
    assert_eq!(error.source.raw_os_error(), Some(libc::EIO));
}

#[test]
fn memory_outside_the_registered_arena_is_read_into_and_written_from() {
    on_executor(|ring| async move {
        let dir = data_dir();
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(FILE_BYTES)).unwrap();
        let mut arenas: Vec<Arena> = (0..3).map(|_| Arena::new(4 << 20).unwrap()).collect();
        arenas.sort_by_key(|arena| arena.mapping().0.addr());
        assert!(ring.register_arena(&arenas[1]));
        let disk = UringDisk::new(ring.clone());
        let file = finish(&ring, disk.open(&path, OpenMode::ReadWrite, IoMode::Direct)).await.unwrap();
        for arena in &arenas {
            let buffer = arena.allocate_read(BLOCK_BYTES).unwrap();
            let (buffer, len_bytes) = finish(&ring, file.read(buffer, 0, BLOCK_BYTES)).await.unwrap();
            assert!(buffer.freeze(len_bytes)[..] == pattern(FILE_BYTES)[..BLOCK_BYTES]);
            let mut chunk = arena.allocate(BLOCK_BYTES).unwrap();
            chunk.append(&pattern(BLOCK_BYTES));
            let data = WriteData::Slice(chunk.slice(0..BLOCK_BYTES));
            finish(&ring, file.write(data, 0, WriteSync::None)).await.unwrap();
        }
    });
}

/// Returns the number of descriptors of this process that are open on `path`.
fn descriptors_of(path: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target == path).count()
}

fn complete_all(ring: &Ring) {
    while ring.in_flight() > 0 {
        ring.submit();
        ring.reap();
    }
}

#[test]
fn an_open_that_nobody_waits_for_any_more_leaves_no_descriptor() {
    on_executor(|ring| async move {
        let dir = data_dir();
        let path = dir.path().canonicalize().unwrap().join("file");
        let disk = UringDisk::new(ring.clone());
        for is_complete in [false, true] {
            let mut opened = Box::pin(disk.open(&path, OpenMode::Replace, IoMode::Buffered));
            let mut synced = Box::pin(disk.sync_dir(dir.path()));
            assert!(futures_util::poll!(opened.as_mut()).is_pending());
            assert!(futures_util::poll!(synced.as_mut()).is_pending());
            if is_complete {
                complete_all(&ring);
                assert_eq!((descriptors_of(&path), descriptors_of(path.parent().unwrap())), (1, 1));
            }
            drop((opened, synced));
            complete_all(&ring);
            assert_eq!((descriptors_of(&path), descriptors_of(path.parent().unwrap())), (0, 0));
        }
        // The ring is dropped while the open is in flight.
        let other = UringDisk::new(Ring::new().unwrap());
        let mut opened = Box::pin(other.open(&path, OpenMode::Replace, IoMode::Buffered));
        assert!(futures_util::poll!(opened.as_mut()).is_pending());
        drop(opened);
        drop(other);
        assert_eq!(descriptors_of(&path), 0);
    });
}

#[test]
fn space_that_was_reserved_and_never_written_is_no_data() {
    const WRITTEN_AT: u64 = 4 << 20;
    on_executor(|ring| async move {
        let dir = data_dir();
        let path = dir.path().join("file");
        let disk = UringDisk::new(ring.clone());
        let open = disk.open(&path, OpenMode::CreateNew, IoMode::Buffered);
        let file = finish(&ring, open).await.unwrap();
        finish(&ring, file.allocate(64 << 20)).await.unwrap();
        let data = WriteData::Heap(vec![1; BLOCK_BYTES].into());
        finish(&ring, file.write(data, WRITTEN_AT, WriteSync::None)).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 64 << 20);
        let found = file.next_data(0).await.unwrap().unwrap();
        let written = WRITTEN_AT..WRITTEN_AT + BLOCK_BYTES as u64;
        // The file system may report larger pieces than blocks.
        assert!(found.start <= written.start && found.end >= written.end, "{found:?}");
        assert!(found.start > 0 && found.end - found.start <= 4 << 20, "{found:?}");
        assert_eq!(file.next_data(found.end).await.unwrap(), None);
    });
}
