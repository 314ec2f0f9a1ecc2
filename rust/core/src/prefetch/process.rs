//! What the operating system must be asked for: whether we forked, which signals a thread takes,
//! how much processor time it used.
//!
//! The only file of this module with `unsafe`: these calls have no safe wrapper that is cheap enough.

use std::time::Duration;

/// How many forks lie between the first process and this one, as far as we watched.
///
/// A value that differs from the one a structure was made under means that its threads are gone
/// and its locks may be held forever: let it alone and leak it. One relaxed load.
pub fn fork_generation() -> u64 {
    imp::fork_generation()
}

/// Begins to watch for forks; cheap to call again.
pub(crate) fn watch_forks() {
    imp::watch_forks();
}

/// Runs `spawn` with all signals blocked, so that a thread started inside never handles one.
pub(crate) fn without_signals<R>(spawn: impl FnOnce() -> R) -> R {
    imp::without_signals(spawn)
}

/// Processor time used by the calling thread; zero where it cannot be told.
pub(super) fn thread_cpu_time() -> Duration {
    imp::thread_cpu_time()
}

#[cfg(unix)]
mod imp {
    use std::{
        mem::MaybeUninit,
        ptr,
        sync::{
            Once,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    static FORKS: AtomicU64 = AtomicU64::new(0);
    static WATCH: Once = Once::new();

    extern "C" fn count_fork() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fork_generation() -> u64 {
        FORKS.load(Ordering::Relaxed)
    }

    pub(super) fn watch_forks() {
        WATCH.call_once(|| {
            // SAFETY: `count_fork` is an `extern "C"` function without arguments that only adds to an
            // atomic, which is allowed between fork and exec.
            // A failure (no memory for the list of handlers) leaves forks undetected, as if unwatched.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
    }

    // Faults of the thread itself: blocked, they would kill the process without a word
    // (faulthandler could not print its trace).
    const FAULTS: [libc::c_int; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT];

    pub(super) fn without_signals<R>(spawn: impl FnOnce() -> R) -> R {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both sets are ours; `sigfillset` initialises `all` before it is read, and
        // `pthread_sigmask` writes `before` and changes the calling thread's mask only.
        let is_blocked = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for fault in FAULTS {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
        };
        let result = spawn();
        if is_blocked {
            // SAFETY: the call above succeeded, so `before` holds this thread's former mask.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        }
        result
    }

    pub(super) fn thread_cpu_time() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a timespec of ours that outlives the call.
        let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        if status == 0 { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::time::Duration;

    pub(super) fn fork_generation() -> u64 {
        0
    }

    pub(super) fn watch_forks() {}

    pub(super) fn without_signals<R>(spawn: impl FnOnce() -> R) -> R {
        spawn()
    }

    pub(super) fn thread_cpu_time() -> Duration {
        Duration::ZERO
    }
}
