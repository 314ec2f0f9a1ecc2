//! Reads at an offset that leave the file's own position alone.

use std::fs::File;
use std::io::{self, ErrorKind};

/// Fills `into` from `offset`; fewer bytes than asked for mean the end of the file.
pub(super) fn read_up_to(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match read_once(file, &mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Appends up to `len` bytes from `offset`, for which there is room already; fewer mean the end of the file.
///
/// The memory is not zeroed first: that would cost as much again as a read from the page cache.
#[cfg(unix)]
pub(super) fn append_up_to(file: &File, into: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
    let (start, end) = (into.len(), into.len() + len);
    while into.len() < end && into.len() < into.capacity() {
        let at = offset + (into.len() - start) as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(into), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    into.truncate(end);
    Ok(into.len() - start)
}

#[cfg(not(unix))]
pub(super) fn append_up_to(file: &File, into: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
    let start = into.len();
    into.resize(start + len, 0);
    let count = read_up_to(file, &mut into[start..], offset)?;
    into.truncate(start + count);
    Ok(count)
}

#[cfg(unix)]
fn read_once(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(windows)]
fn read_once(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

/// Asks the system to start reading a range, where it can be asked.
#[cfg(target_os = "linux")]
pub(super) fn will_need(file: &File, offset: u64, len: usize) {
    advise(file, offset, len, rustix::fs::Advice::WillNeed);
}

/// Asks the system to forget a range, where it can be asked.
#[cfg(target_os = "linux")]
pub(super) fn drop_cached(file: &File, offset: u64, len: usize) {
    advise(file, offset, len, rustix::fs::Advice::DontNeed);
}

#[cfg(target_os = "linux")]
fn advise(file: &File, offset: u64, len: usize, advice: rustix::fs::Advice) {
    // A length of zero would mean "to the end". Advice may fail without harm: only speed depends on it.
    if let Some(len) = std::num::NonZeroU64::new(len as u64) {
        let _ = rustix::fs::fadvise(file, offset, Some(len), advice);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn will_need(_file: &File, _offset: u64, _len: usize) {}

#[cfg(not(target_os = "linux"))]
pub(super) fn drop_cached(_file: &File, _offset: u64, _len: usize) {}
