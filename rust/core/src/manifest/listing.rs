//! From what the user named (files, folders, globs) to the ordered list of shards.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use super::{below, hive, huggingface, natural};
use crate::shard::tokens::ids_beside;
use crate::source::remote::is_remote;
use crate::{Error, Result};

/// Shards in reading order, and remarks on how they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files in the order of their rows.
    pub files: Vec<PathBuf>,
    /// What the caller may want to tell its user.
    pub warnings: Vec<String>,
    /// Files in folders that were named, which are neither read nor known as notes; `warnings` tell of them.
    pub strangers: Vec<PathBuf>,
    /// Files of row numbers: the rows of `files` that are meant, in their order. None for all rows.
    pub indices: Vec<PathBuf>,
    /// How many of `files` the indices belong to.
    pub(super) num_indexed: usize,
    /// Folders and prefixes of globs: names `key=value` of folders below them are columns.
    pub roots: Vec<PathBuf>,
    /// Folders with folders in them, and what was read of each.
    parents: Vec<(PathBuf, Kind)>,
}

/// Finds the shards behind files, folders and globs.
///
/// Inputs keep their order and may repeat; the files of one folder or glob are in natural order.
pub fn resolve<P: AsRef<Path>>(inputs: &[P]) -> Result<Listing> {
    resolve_split(inputs, None)
}

/// The same of one split, in folders where `datasets` keeps several.
pub fn resolve_split<P: AsRef<Path>>(inputs: &[P], split: Option<&str>) -> Result<Listing> {
    let mut listing = Listing::default();
    for input in inputs {
        if is_remote(input.as_ref()) {
            add_file(input.as_ref().to_owned(), split, &mut listing)?;
            continue;
        }
        let mut path = expand_home(input.as_ref(), std::env::home_dir());
        let mut found = fs::metadata(&path);
        // Megatron's data are known by their index too, or by the name that both of their files begin with.
        if (found.is_err() || path.extension().is_some_and(|extension| extension == "idx"))
            && let Some(ids) = ids_beside(&path)
        {
            (path, found) = (ids.clone(), fs::metadata(&ids));
        }
        match found {
            Ok(metadata) if metadata.is_dir() => add_folder(&path, split, &mut listing)?,
            Ok(_) => add_file(path, split, &mut listing)?,
            Err(_) if is_glob(&path) => add_glob(&path, split, &mut listing)?,
            Err(error) => return Err(missing(&path, error)),
        }
    }
    huggingface::check_indices(&listing)?;
    if listing.files.is_empty() {
        return Err(Error::InvalidArgument(
            "no paths were given; name a file, a folder or a glob".to_owned(),
        ));
    }
    warn_of_folders(&mut listing);
    Ok(listing)
}

/// Folders in folders are not read: of files in them that nothing else names, the caller hears.
fn warn_of_folders(listing: &mut Listing) {
    if listing.parents.is_empty() {
        return;
    }
    let read: HashSet<&Path> = listing.files.iter().map(PathBuf::as_path).collect();
    let left_out = listing.parents.iter().filter_map(|(folder, kind)| below::left_out(folder, *kind, &read));
    let warnings: Vec<String> = left_out.collect();
    listing.warnings.extend(warnings);
}

fn add_file(path: PathBuf, split: Option<&str>, listing: &mut Listing) -> Result<()> {
    if let Some(split) = split {
        return Err(no_splits(&path, split));
    }
    listing.files.push(path);
    Ok(())
}

fn add_folder(folder: &Path, split: Option<&str>, listing: &mut Listing) -> Result<()> {
    if huggingface::add(folder, split, listing)? {
        return Ok(());
    }
    if let Some(split) = split {
        return Err(no_splits(folder, split));
    }
    let (names, num_folders) = entries(folder)?;
    add_names(folder, names, num_folders, listing)
}

fn no_splits(path: &Path, split: &str) -> Error {
    Error::InvalidArgument(format!(
        "split={split:?} chooses among the splits that datasets keeps in one folder, but {} is no such folder; \
         leave split= out, or name the files of that split",
        path.display()
    ))
}

/// Files of one format, or an error that says what else is there.
fn add_names(folder: &Path, names: Vec<PathBuf>, num_folders: usize, listing: &mut Listing) -> Result<()> {
    let mut kinds: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
    for name in names {
        kinds.entry(Kind::of(name.as_os_str())).or_default().push(name);
    }
    kinds.remove(&Kind::Aside);
    let strangers = kinds.remove(&Kind::Unknown).unwrap_or_default();
    check_one_kind(folder, &kinds)?;
    let first = kinds.keys().next().copied().unwrap_or(Kind::Parquet);
    if num_folders > 0 && first.is_read() {
        listing.parents.push((folder.to_owned(), first));
    }
    match kinds.pop_first() {
        Some((kind, mut names)) if kind.is_read() => {
            natural::sort(&mut names);
            let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
            match partitioned(folder, kind, num_folders)?.filter(|all| all.len() > files.len()) {
                Some(all) => add_partitioned(folder, all, listing),
                None => listing.files.extend(files),
            }
            add_strangers(folder, strangers, listing);
            Ok(())
        }
        Some((_, names)) => Err(Error::Unsupported {
            path: folder.join(&names[0]),
            message: "not a format that is read from disk; convert it to Arrow or Parquet first".to_owned(),
        }),
        None => {
            let all = partitioned(folder, Kind::Parquet, num_folders)?.unwrap_or_default();
            if all.is_empty() {
                return Err(empty_folder(folder, num_folders));
            }
            add_partitioned(folder, all, listing);
            add_strangers(folder, strangers, listing);
            Ok(())
        }
    }
}

/// The Parquet files of a folder and of those in it that are named `key=value`.
fn partitioned(folder: &Path, kind: Kind, num_folders: usize) -> Result<Option<Vec<PathBuf>>> {
    if kind != Kind::Parquet || num_folders == 0 {
        return Ok(None);
    }
    hive::files_below(folder).map(Some)
}

fn add_partitioned(folder: &Path, files: Vec<PathBuf>, listing: &mut Listing) {
    listing.files.extend(files);
    listing.roots.push(folder.to_owned());
}

/// What nobody knows is left out, but not without a word: it may be a shard with a wrong name.
fn add_strangers(folder: &Path, mut names: Vec<PathBuf>, listing: &mut Listing) {
    if names.is_empty() {
        return;
    }
    natural::sort(&mut names);
    let (are, not_read) = if names.len() == 1 { ("a file", "is") } else { ("files", "are") };
    listing.warnings.push(format!(
        "{} holds {are} that {not_read} not read: {}; name the files that are meant, or take the others away",
        folder.display(),
        shortened(&names)
    ));
    listing.strangers.extend(names.iter().map(|name| folder.join(name)));
}

fn check_one_kind(folder: &Path, kinds: &BTreeMap<Kind, Vec<PathBuf>>) -> Result<()> {
    let mut firsts = kinds.iter().map(|(kind, names)| (kind, names[0].display()));
    let (Some((kind, one)), Some((_, other))) = (firsts.next(), firsts.next()) else { return Ok(()) };
    let message = format!(
        "{} is a directory with mixed formats: {one} beside {other}; name the files of one format, such as {}",
        folder.display(),
        folder.join(kind.pattern()).display()
    );
    Err(Error::SchemaMismatch { path: Some(folder.to_owned()), message })
}

fn empty_folder(folder: &Path, num_folders: usize) -> Error {
    let below = Kind::READ.into_iter().filter(|_| num_folders > 0).find_map(|kind| {
        let told = below::told(folder, kind, &HashSet::new())?;
        Some((told, folder.join("**").join(kind.pattern())))
    });
    let problem = match below {
        Some((told, pattern)) => format!(
            "it holds no Arrow files, Parquet files or tars, but folders with some: {told}; name one of them, or all \
             files by {}",
            pattern.display()
        ),
        None if num_folders > 0 => {
            format!(
                "it holds no Arrow files, Parquet files or tars, but {num_folders} folders; name one of them"
            )
        }
        None => "it holds no Arrow files, Parquet files, tars, JSON lines (.jsonl) or CSV; files of other names are \
                 read where they are named, as in `folder/*.json`"
            .to_owned(),
    };
    Error::MissingShard { path: folder.to_owned(), problem }
}

/// File names of a folder, and how many folders are in it.
pub(super) fn entries(folder: &Path) -> Result<(Vec<PathBuf>, usize)> {
    let failed = |source| Error::io("list", folder, source);
    let mut names = Vec::new();
    let mut num_folders = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // The entry's own type needs no stat; a link is a file until it is opened.
        if entry.file_type().map_err(failed)?.is_dir() {
            num_folders += 1;
        } else {
            names.push(PathBuf::from(entry.file_name()));
        }
    }
    Ok((names, num_folders))
}

fn is_glob(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

fn add_glob(pattern: &Path, split: Option<&str>, listing: &mut Listing) -> Result<()> {
    let text = pattern.to_str().ok_or_else(|| {
        Error::InvalidArgument(format!(
            "{} is not UTF-8, which a glob must be; name its folder",
            pattern.display()
        ))
    })?;
    let matches = glob::glob(text)
        .map_err(|error| Error::InvalidArgument(format!("{text:?} is no glob: {}", error.msg)))?;
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for path in matches {
        let path = path.map_err(|error| {
            let folder = error.path().to_owned();
            Error::io("list", &folder, error.into())
        })?;
        let kind = path.file_name().map_or(Kind::Unknown, Kind::of);
        if path.is_dir() {
            folders.push(path);
        } else if kind != Kind::Aside {
            files.push((kind, path));
        }
    }
    if files.is_empty() && folders.is_empty() {
        return Err(no_match(pattern));
    }
    if files.is_empty() {
        natural::sort(&mut folders);
        return folders.iter().try_for_each(|folder| add_folder(folder, split, listing));
    }
    if let Some(split) = split {
        return Err(no_splits(pattern, split));
    }
    add_matches(pattern, files, listing)
}

fn add_matches(pattern: &Path, files: Vec<(Kind, PathBuf)>, listing: &mut Listing) -> Result<()> {
    let mut kinds: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
    for (kind, path) in &files {
        kinds.entry(*kind).or_default().push(path.clone());
    }
    kinds.remove(&Kind::Unknown);
    check_one_kind(pattern.parent().unwrap_or(pattern), &kinds)?;
    let mut paths: Vec<PathBuf> = files.into_iter().map(|(_, path)| path).collect();
    natural::sort(&mut paths);
    let is_derived =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"cache-"));
    if let Some(derived) = paths.iter().find(is_derived) {
        listing.warnings.push(format!(
            "{} looks like a result that datasets cached, not like a shard; name the folder to leave such files out",
            derived.display()
        ));
    }
    let fixed = pattern.ancestors().find(|parent| !is_glob(parent));
    listing.roots.extend(fixed.map(Path::to_owned));
    listing.files.extend(paths);
    Ok(())
}

/// A glob without matches names what lies nearest to it.
fn no_match(pattern: &Path) -> Error {
    let parents = pattern.ancestors().skip(1);
    let here = |parent| if parent == Path::new("") { Path::new(".") } else { parent };
    let mut there = parents.filter(|parent| !is_glob(parent)).map(here);
    let problem = match there.find(|parent| parent.is_dir()) {
        Some(folder) => format!("no file matches this pattern; {}", describe(folder)),
        None => "no file matches this pattern".to_owned(),
    };
    Error::MissingShard { path: pattern.to_owned(), problem }
}

fn describe(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else { return format!("{} cannot be listed", folder.display()) };
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| PathBuf::from(entry.file_name())).collect();
    natural::sort(&mut names);
    if names.is_empty() {
        return format!("{} is empty", folder.display());
    }
    format!("{} holds {}", folder.display(), shortened(&names))
}

/// The first few names, and how many more there are.
fn shortened(names: &[PathBuf]) -> String {
    const NAMED: usize = 3;
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| name.display().to_string()).collect();
    let rest = names.len().saturating_sub(NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

pub(super) fn missing(path: &Path, source: std::io::Error) -> Error {
    if source.kind() != std::io::ErrorKind::NotFound {
        return Error::io("open", path, source);
    }
    let folder = path.ancestors().skip(1).find(|parent| parent.is_dir());
    let there = folder.map_or_else(String::new, |folder| format!("; {}", describe(folder)));
    Error::MissingShard { path: path.to_owned(), problem: format!("no such file{there}") }
}

fn expand_home(path: &Path, home: Option<PathBuf>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
