//! Data files in folders of a folder that was named: they are not read, but not left out without a word.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use super::natural;

/// Entries that are looked at: a word is not worth walking a whole disk.
const MOST_ENTRIES: usize = 10_000;

/// Folders in folders; deeper ones are no data's.
const MAX_DEPTH: usize = 32;

/// Folders that are named in a warning.
const NAMED: usize = 3;

/// Notes that make a folder a data set of its own, or what one of ours or of `datasets` was turned into.
const OWN: [&str; 5] =
    ["state.json", "dataset_dict.json", "dataset_info.json", "dataset.json", "conversion.json"];

/// What lies below a folder and belongs to no one else: files of its kind, by the folders that they are in.
#[derive(Default)]
struct Below {
    folders: BTreeMap<PathBuf, usize>,
    num_entries: usize,
}

/// A warning of files of `kind` in folders below `folder` that are not among those `read`.
pub(super) fn left_out(folder: &Path, kind: Kind, read: &HashSet<&Path>) -> Option<String> {
    let told = told(folder, kind, read)?;
    Some(format!(
        "{} holds files that are not read, in folders in it: {told}; name these folders too, or take all files by {}",
        folder.display(),
        folder.join("**").join(kind.pattern()).display()
    ))
}

/// How many files of `kind` lie in which folders below `folder`; None without.
pub(super) fn told(folder: &Path, kind: Kind, read: &HashSet<&Path>) -> Option<String> {
    let mut below = Below::default();
    below.look(folder, Path::new(""), kind, read, 0);
    let mut names: Vec<&PathBuf> = below.folders.keys().collect();
    natural::sort(&mut names);
    let what = kind.pattern();
    let shown: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("{} {what} in {}", below.folders[*name], name.display()))
        .collect();
    let rest: usize = names.iter().skip(NAMED).map(|name| below.folders[*name]).sum();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        folders => format!(", {rest} in {folders} more"),
    };
    let at_least = if below.num_entries > MOST_ENTRIES { ", and maybe others" } else { "" };
    (!shown.is_empty()).then(|| format!("{}{more}{at_least}", shown.join(", ")))
}

impl Below {
    fn look(&mut self, root: &Path, inner: &Path, kind: Kind, read: &HashSet<&Path>, depth: usize) {
        // What cannot be listed cannot be read either: nothing to tell.
        let Ok(entries) = fs::read_dir(root.join(inner)) else { return };
        let (mut folders, mut num_files) = (Vec::new(), 0);
        for entry in entries.flatten() {
            self.num_entries += 1;
            if self.num_entries > MOST_ENTRIES {
                break;
            }
            let name = PathBuf::from(entry.file_name());
            // Hidden, and what writers are not done with.
            let text = name.as_os_str().as_encoded_bytes();
            if text.starts_with(b".") || text.starts_with(b"_") || text.ends_with(b".part") {
                continue;
            }
            if entry.file_type().is_ok_and(|found| found.is_dir()) {
                folders.push(name);
            } else if depth > 0 && OWN.iter().any(|note| name.as_os_str() == *note) {
                return;
            } else if Kind::of(name.as_os_str()) == kind {
                let path = root.join(inner).join(&name);
                num_files += usize::from(!read.contains(path.as_path()));
            }
        }
        if num_files > 0 && depth > 0 {
            self.folders.insert(inner.to_owned(), num_files);
        }
        if depth < MAX_DEPTH {
            natural::sort(&mut folders);
            for name in &folders {
                self.look(root, &inner.join(name), kind, read, depth + 1);
            }
        }
    }
}
