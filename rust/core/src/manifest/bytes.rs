//! A manifest as bytes for another process: its index, then the folders whose names are columns.
//!
//! ```text
//! index (see `codec`) | number of folders | for each: length, path | xxh3 of all after the index
//! ```

use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Problem, index_len};

const WORD: usize = 8;

/// The bytes of a manifest whose records are `index`.
pub(crate) fn pack(mut index: Vec<u8>, roots: &[PathBuf]) -> Vec<u8> {
    let start = index.len();
    let put = |bytes: &mut Vec<u8>, number: usize| bytes.extend((number as u64).to_le_bytes());
    put(&mut index, roots.len());
    for root in roots.iter().map(|root| root.as_os_str().as_encoded_bytes()) {
        put(&mut index, root.len());
        index.extend_from_slice(root);
    }
    let checksum = xxh3_64(&index[start..]);
    index.extend(checksum.to_le_bytes());
    index
}

/// The index, unchecked, and the folders.
pub(crate) fn unpack(bytes: &[u8]) -> Result<(&[u8], Vec<PathBuf>), Problem> {
    let (index, rest) = bytes.split_at_checked(index_len(bytes)?).ok_or("too short")?;
    let (folders, checksum) = rest.split_last_chunk::<WORD>().ok_or("too short")?;
    if u64::from_le_bytes(*checksum) != xxh3_64(folders) {
        return Err("a wrong checksum of its folders");
    }
    let mut left = folders;
    let count = take_number(&mut left)?;
    let mut roots = Vec::new();
    for _ in 0..count {
        let len = take_number(&mut left)?;
        let (path, after) = left.split_at_checked(len).ok_or("a folder past its end")?;
        roots.push(path_from_bytes(path).ok_or("a path of another system")?);
        left = after;
    }
    if left.is_empty() { Ok((index, roots)) } else { Err("bytes after its end") }
}

fn take_number(left: &mut &[u8]) -> Result<usize, Problem> {
    let (number, after) = left.split_first_chunk::<WORD>().ok_or("too short")?;
    *left = after;
    usize::try_from(u64::from_le_bytes(*number)).map_err(|_| "a count out of range")
}

/// A copy that begins at a multiple of 8 in memory.
pub(crate) fn align(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0_u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

/// The path that an index spells, where this system can spell it so.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    let path = Some(PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes)));
    #[cfg(not(unix))]
    let path = std::str::from_utf8(bytes).ok().map(PathBuf::from);
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::codec;

    #[test]
    fn folders_come_back_and_any_changed_or_missing_byte_is_noticed() {
        for roots in [vec![], vec![PathBuf::from("/data"), PathBuf::from("/a b/ü")]] {
            let index = codec::encode(&[]);
            let packed = pack(index.clone(), &roots);
            assert_eq!(unpack(&packed).unwrap(), (index.as_slice(), roots));
            for at in 0..packed.len() {
                assert!(unpack(&packed[..at]).is_err(), "cut at {at}");
            }
            for at in index.len()..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 1;
                assert!(unpack(&damaged).is_err(), "flip at {at}");
            }
        }
    }
}
