//! The ways of reading, by name, and the choice that `auto` makes.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;

use crate::error::Error;

/// How the bytes of shards are brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IoMode {
    /// Whatever suits the file system, see [`resolve_auto`].
    #[default]
    Auto,
    /// Map the file.
    Mmap,
    /// pread into owned buffers.
    Read,
    /// pread past the page cache.
    Direct,
}

impl FromStr for IoMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "mmap" => Ok(Self::Mmap),
            "read" => Ok(Self::Read),
            "direct" => Ok(Self::Direct),
            _ => Err(Error::InvalidArgument(format!(
                "io mode must be \"auto\", \"mmap\", \"read\" or \"direct\", not {text:?}"
            ))),
        }
    }
}

impl Display for IoMode {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Mmap => "mmap",
            Self::Read => "read",
            Self::Direct => "direct",
        })
    }
}

/// From linux/magic.h and statfs(2): NFS, FUSE, overlay, CIFS, SMB2, SMB, 9P, Lustre, Ceph, GPFS, AFS, `BeeGFS`.
#[cfg(target_os = "linux")]
const READ_BETTER: [u32; 12] = [
    0x6969,
    0x6573_5546,
    0x794c_7630,
    0xff53_4d42,
    0xfe53_4d42,
    0x517b,
    0x0102_1997,
    0x0bd0_0bd0,
    0x00c3_6400,
    0x4750_4653,
    0x5346_414f,
    0x1983_0326,
];

/// The mode for a file: `Read` on network, FUSE and overlay file systems, else `Mmap`.
///
/// A fault on a map of those stalls a thread for a round trip a page, or fails with SIGBUS when
/// the server goes away, where a read returns an error.
#[cfg(target_os = "linux")]
pub fn resolve_auto(path: &Path) -> IoMode {
    if super::remote::is_remote(path) {
        return IoMode::Read;
    }
    match rustix::fs::statfs(path) {
        Ok(found) if READ_BETTER.contains(&(found.f_type as u32)) => IoMode::Read,
        Ok(_) | Err(_) => IoMode::Mmap,
    }
}

/// The mode for a file: `Mmap`, as this system does not name its file systems by number.
#[cfg(not(target_os = "linux"))]
pub fn resolve_auto(path: &Path) -> IoMode {
    if super::remote::is_remote(path) { IoMode::Read } else { IoMode::Mmap }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_reads_back_from_its_name() {
        for mode in [IoMode::Auto, IoMode::Mmap, IoMode::Read, IoMode::Direct] {
            assert_eq!(mode.to_string().parse::<IoMode>().unwrap(), mode);
        }
        assert!("fast".parse::<IoMode>().unwrap_err().to_string().contains("\"fast\""));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn auto_is_settled_to_a_real_mode() {
        assert_ne!(resolve_auto(Path::new(".")), IoMode::Auto);
    }
}
