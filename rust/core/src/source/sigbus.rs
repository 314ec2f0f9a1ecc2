//! A process-wide guard that turns a SIGBUS inside one of our maps into a typed error.
//!
//! When a file is truncated between the check and the use, the kernel answers the load with
//! SIGBUS. The handler looks the address up in a lock-free table of our maps, lays a zero page
//! over the hole and marks the map damaged; the load goes on and `check_intact` reports the
//! damage. A fault anywhere else goes to whoever handled SIGBUS before us. Everything here
//! survives a fork, as it is plain memory and a signal disposition.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Slots are made in chunks that never move and are never freed, so that the handler may read them at any time.
const SLOTS_PER_CHUNK: usize = 1024;
/// 262,144 maps at once, four times what Linux grants a process by default.
const MAX_CHUNKS: usize = 256;

static CHUNKS: [AtomicPtr<Chunk>; MAX_CHUNKS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CHUNKS];
/// Where the search for a free slot begins.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(4096);

type Chunk = [Slot; SLOTS_PER_CHUNK];

#[derive(Debug, Default)]
struct Slot {
    /// Claimed by compare-and-swap: a lock could be held for ever in the child of a fork.
    is_taken: AtomicBool,
    /// 0 while the slot is free; written last, so that whoever sees it sees the rest.
    start: AtomicUsize,
    len: AtomicUsize,
    is_damaged: AtomicBool,
}

/// A map's entry in the table; dropping it takes the map out.
#[derive(Debug)]
pub(super) struct Registration {
    slot: &'static Slot,
    index: usize,
}

impl Registration {
    /// Enters the map at `start` and makes sure that the handler is in place.
    pub(super) fn new(start: usize, len: usize) -> io::Result<Self> {
        install()?;
        let entry = free_slot()?;
        let slot = entry.slot;
        slot.len.store(len, Ordering::Relaxed);
        slot.is_damaged.store(false, Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(entry)
    }

    /// Whether a load from this map has met a hole.
    pub(super) fn is_damaged(&self) -> bool {
        self.slot.is_damaged.load(Ordering::Relaxed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.slot.start.store(0, Ordering::Release);
        self.slot.is_taken.store(false, Ordering::Release);
        // The lowest free slot is used first, so that the table stays as small as it can.
        NEXT.fetch_min(self.index, Ordering::Relaxed);
    }
}

fn free_slot() -> io::Result<Registration> {
    let num_slots = MAX_CHUNKS * SLOTS_PER_CHUNK;
    let first = NEXT.load(Ordering::Relaxed);
    for step in 0..num_slots {
        let index = (first + step) % num_slots;
        let slot = &chunk(index / SLOTS_PER_CHUNK)[index % SLOTS_PER_CHUNK];
        if slot.is_taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            NEXT.store(index + 1, Ordering::Relaxed);
            return Ok(Registration { slot, index });
        }
    }
    Err(io::Error::other("too many files are mapped at once; use io=\"read\""))
}

/// The chunk at `index`, made if it is not there yet.
fn chunk(index: usize) -> &'static Chunk {
    let place = &CHUNKS[index];
    let mut found = place.load(Ordering::Acquire);
    if found.is_null() {
        let made = Box::into_raw(Box::new(std::array::from_fn(|_| Slot::default())));
        match place.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => found = made,
            Err(other) => {
                // SAFETY: `made` came from a Box just above and lost the race, so nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                found = other;
            }
        }
    }
    // SAFETY: a chunk in the table is never freed, and only ever shared.
    unsafe { &*found }
}

/// What handled SIGBUS before us: the handler's address (or `SIG_DFL`, `SIG_IGN`) and its flags.
static PREVIOUS_HANDLER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static PREVIOUS_FLAGS: AtomicUsize = AtomicUsize::new(0);
/// Set while a foreign fault is passed on: a handler that passes it back to us would loop for ever.
static IS_PASSING_ON: AtomicBool = AtomicBool::new(false);

/// Puts the handler in place, again if somebody (torch's worker, faulthandler) has replaced it since.
///
/// Two threads may do this at once: both then store the same.
fn install() -> io::Result<()> {
    PAGE_SIZE.store(rustix::param::page_size(), Ordering::Relaxed);
    let ours = handle as *const () as usize;
    let current = current_action()?;
    if current.sa_sigaction == ours {
        return Ok(());
    }
    PREVIOUS_HANDLER.store(current.sa_sigaction, Ordering::Release);
    PREVIOUS_FLAGS.store(current.sa_flags as usize, Ordering::Release);
    set_action(ours, libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART)
}

fn current_action() -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; `action` is large enough, and all zeros is a valid value of it.
    let status = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), action.as_mut_ptr()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed above and filled by the call.
    Ok(unsafe { action.assume_init() })
}

fn set_action(handler: usize, flags: libc::c_int) -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros is a valid sigaction (default handler, empty mask); fields are set before use.
    // `sigaction` is async-signal-safe, so the handler may come here too.
    let status = unsafe {
        let action = action.assume_init_mut();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(libc::SIGBUS, action, ptr::null_mut())
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs inside the signal: no lock, no allocation, no errno.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo to a handler that was set with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    match slot_of(address) {
        Some(slot) if lay_zero_page(address) => slot.is_damaged.store(true, Ordering::Relaxed),
        _ => pass_on(signal, info, context),
    }
}

fn slot_of(address: usize) -> Option<&'static Slot> {
    CHUNKS.iter().map(|chunk| chunk.load(Ordering::Acquire)).filter(|chunk| !chunk.is_null()).find_map(
        |chunk| {
            // SAFETY: a chunk that is not null was made by `chunk` and lives for ever.
            let slots: &'static Chunk = unsafe { &*chunk };
            slots.iter().find(|slot| {
                let start = slot.start.load(Ordering::Acquire);
                start != 0 && address.wrapping_sub(start) < slot.len.load(Ordering::Relaxed)
            })
        },
    )
}

fn lay_zero_page(address: usize) -> bool {
    let page = PAGE_SIZE.load(Ordering::Relaxed);
    let start = address & !(page - 1);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    // SAFETY: the page belongs to a map of ours that is in use (the fault proves it), so nobody else's
    // memory is replaced; the map's owner unmaps the whole range later, this page included.
    unsafe { mmap_anonymous(start as *mut _, page, ProtFlags::READ, flags) }.is_ok()
}

fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let handler = PREVIOUS_HANDLER.load(Ordering::Acquire);
    let is_default = handler == libc::SIG_DFL || handler == libc::SIG_IGN;
    if is_default || IS_PASSING_ON.swap(true, Ordering::AcqRel) {
        // On return the load faults again and the default action ends the process, as it would have without us.
        let _ = set_action(libc::SIG_DFL, 0);
        return;
    }
    if PREVIOUS_FLAGS.load(Ordering::Acquire) & libc::SA_SIGINFO as usize == 0 {
        // SAFETY: without SA_SIGINFO the stored address is a handler of this signature.
        let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
        handler(signal);
    } else {
        // SAFETY: with SA_SIGINFO the stored address is a handler of this signature.
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(handler) };
        handler(signal, info, context);
    }
    IS_PASSING_ON.store(false, Ordering::Release);
}
