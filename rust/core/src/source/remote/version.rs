//! Which version of an object is read: its size, and what its server or the caller calls it.
//!
//! It stands where a file has its modification time and inode, so an index of URLs holds as one of files does.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::trouble::Trouble;
use crate::source::FileIdentity;

/// In place of a modification time: what the number in place of an inode is a hash of. None is a time of our days.
const IMMUTABLE: i64 = -1;
const ETAG: i64 = -2;
const MODIFIED: i64 = -3;
const SIZE_ONLY: i64 = -4;

/// What a caller knows of an object before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its length.
    pub size: u64,
    /// What its server calls this version, or a hash of its content.
    pub tag: Option<String>,
    /// Whether the URL never means other bytes, as one with a commit in it.
    pub is_immutable: bool,
}

impl Known {
    /// The identity that stands for it.
    pub fn identity(&self) -> FileIdentity {
        let (kind, text) = match (&self.tag, self.is_immutable) {
            (tag, true) => (IMMUTABLE, tag.as_deref().unwrap_or_default()),
            (Some(tag), false) => (ETAG, tag.as_str()),
            (None, false) => (SIZE_ONLY, ""),
        };
        identity(self.size, kind, text)
    }
}

fn identity(size: u64, kind: i64, text: &str) -> FileIdentity {
    FileIdentity { size, mtime_ns: kind, inode: xxh3_64(bare_tag(text).as_bytes()) }
}

/// A tag without its quotes, which some lists leave out.
fn bare_tag(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// What an answer says of the whole object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub size: u64,
    /// Of the server that sent the bytes.
    pub etag: Option<String>,
    /// Of a server that sent us on to it.
    pub linked: Vec<String>,
    pub modified: Option<String>,
}

impl Seen {
    /// The identity of the version that answered.
    pub fn identity(&self) -> FileIdentity {
        match (&self.etag, self.linked.first(), &self.modified) {
            (Some(etag), ..) | (None, Some(etag), _) => identity(self.size, ETAG, etag),
            (None, None, Some(modified)) => identity(self.size, MODIFIED, modified),
            (None, None, None) => identity(self.size, SIZE_ONLY, ""),
        }
    }

    /// An error if this is not the version that was indexed. `twin` is another name of that version, by which the
    /// server that sends the bytes knows it.
    pub fn check(&self, expected: FileIdentity, twin: Option<&str>) -> Result<(), Trouble> {
        if self.size != expected.size {
            return Err(Trouble::Changed(format!(
                "changed since it was indexed ({} bytes then, {} now)",
                expected.size, self.size
            )));
        }
        let is_same = |kind, text: &str| identity(self.size, kind, text) == expected;
        let holds = match expected.mtime_ns {
            ETAG => {
                let mut tags = self.etag.iter().chain(&self.linked);
                tags.any(|tag| is_same(ETAG, tag)) || (twin.is_some() && self.etag.as_deref() == twin)
            }
            MODIFIED => self.modified.as_deref().is_some_and(|modified| is_same(MODIFIED, modified)),
            _ => true,
        };
        if holds {
            return Ok(());
        }
        let now = self.etag.as_deref().or(self.modified.as_deref()).unwrap_or("nothing");
        Err(Trouble::Changed(format!("changed since it was indexed (its server calls this version {now})")))
    }
}

/// One number for a version of an object, under which its bytes are kept.
pub(super) fn key_of(path: &Path, identity: FileIdentity) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.update(&identity.size.to_le_bytes());
    hasher.update(&identity.mtime_ns.to_le_bytes());
    hasher.update(&identity.inode.to_le_bytes());
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(etag: Option<&str>, modified: Option<&str>) -> Seen {
        Seen {
            size: 9,
            etag: etag.map(str::to_owned),
            linked: Vec::new(),
            modified: modified.map(str::to_owned),
        }
    }

    #[test]
    fn another_size_or_tag_or_time_is_another_version() {
        let first = seen(Some("\"a\""), Some("Mon"));
        assert!(first.check(first.identity(), None).is_ok());
        for other in
            [seen(Some("\"b\""), Some("Mon")), seen(None, Some("Mon")), Seen { size: 8, ..first.clone() }]
        {
            assert!(matches!(other.check(first.identity(), None), Err(Trouble::Changed(_))), "{other:?}");
        }
        let timed = seen(None, Some("Mon"));
        assert!(seen(None, Some("Tue")).check(timed.identity(), None).is_err());
        assert!(timed.check(timed.identity(), None).is_ok());
    }

    #[test]
    fn what_a_caller_knows_is_compared_as_far_as_it_can_change() {
        let known =
            |tag: Option<&str>, is_immutable| Known { size: 9, tag: tag.map(str::to_owned), is_immutable };
        assert!(seen(Some("\"cdn\""), None).check(known(Some("sha"), true).identity(), None).is_ok());
        assert!(seen(Some("\"sha\""), None).check(known(Some("sha"), false).identity(), None).is_ok());
        let through_hub = Seen { linked: vec!["\"sha\"".to_owned()], ..seen(Some("\"cdn\""), None) };
        assert!(through_hub.check(known(Some("sha"), false).identity(), None).is_ok());
        let direct = seen(Some("\"cdn\""), None);
        assert!(direct.check(known(Some("sha"), false).identity(), None).is_err());
        assert!(direct.check(known(Some("sha"), false).identity(), Some("\"cdn\"")).is_ok());
        assert_ne!(known(Some("a"), true).identity(), known(Some("b"), true).identity());
    }
}
