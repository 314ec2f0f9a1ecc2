//! From what the user named (files, folders, globs) to the ordered list of shards.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::hive;
use super::json::Json;
use super::natural;
use crate::{Error, Result};

/// Shards in reading order, and remarks on how they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files in the order of their rows.
    pub files: Vec<PathBuf>,
    /// What the caller may want to tell its user.
    pub warnings: Vec<String>,
    /// Folders and prefixes of globs: names `key=value` of folders below them are columns.
    pub roots: Vec<PathBuf>,
}

/// Finds the shards behind files, folders and globs.
///
/// Inputs keep their order and may repeat; the files of one folder or glob are in natural order.
pub fn resolve<P: AsRef<Path>>(inputs: &[P]) -> Result<Listing> {
    let mut listing = Listing::default();
    for input in inputs {
        let path = expand_home(input.as_ref(), std::env::home_dir());
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => add_folder(&path, &mut listing)?,
            Ok(_) => listing.files.push(path),
            Err(_) if is_glob(&path) => add_glob(&path, &mut listing)?,
            Err(error) => return Err(missing(&path, error)),
        }
    }
    if listing.files.is_empty() {
        return Err(Error::InvalidArgument(
            "no paths were given; name a file, a folder or a glob".to_owned(),
        ));
    }
    Ok(listing)
}

/// What a file name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Arrow,
    Parquet,
    WebDataset,
    /// Rows in a form that is not read from disk as it is.
    Text,
    Unknown,
    /// Notes and leftovers that stand beside data everywhere.
    Aside,
}

impl Kind {
    fn of(name: &OsStr) -> Self {
        if name.as_encoded_bytes().starts_with(b".") {
            return Self::Aside;
        }
        let extension = Path::new(name).extension().map(OsStr::to_ascii_lowercase);
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("arrow" | "arrows" | "ipc" | "feather") => Self::Arrow,
            Some("parquet" | "pq") => Self::Parquet,
            Some("tar") => Self::WebDataset,
            Some(
                "jsonl" | "ndjson" | "csv" | "tsv" | "gz" | "zst" | "bz2" | "xz" | "zip" | "bin" | "npy"
                | "mds",
            ) => Self::Text,
            Some("lock" | "json" | "txt" | "md" | "tmp") => Self::Aside,
            _ => Self::Unknown,
        }
    }

    fn is_read(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet | Self::WebDataset)
    }
}

fn add_folder(folder: &Path, listing: &mut Listing) -> Result<()> {
    if let Some(state) = read_note(folder, "state.json")? {
        return add_saved(folder, &state, listing);
    }
    let (names, num_folders) = entries(folder)?;
    let is_cache = folder.join("dataset_info.json").is_file();
    if is_cache {
        let shards = names.into_iter().filter(|name| is_cache_shard(name)).collect();
        return add_names(folder, shards, num_folders, listing);
    }
    add_names(folder, names, num_folders, listing)
}

/// Files of one format, or an error that says what else is there.
fn add_names(folder: &Path, names: Vec<PathBuf>, num_folders: usize, listing: &mut Listing) -> Result<()> {
    let mut kinds: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
    for name in names {
        kinds.entry(Kind::of(name.as_os_str())).or_default().push(name);
    }
    kinds.remove(&Kind::Aside);
    kinds.remove(&Kind::Unknown);
    check_one_kind(folder, &kinds)?;
    match kinds.pop_first() {
        Some((kind, mut names)) if kind.is_read() => {
            natural::sort(&mut names);
            listing.files.extend(names.iter().map(|name| folder.join(name)));
            Ok(())
        }
        Some((_, names)) => Err(Error::Unsupported {
            path: folder.join(&names[0]),
            message: "not a format that is read from disk; convert it to Arrow or Parquet first".to_owned(),
        }),
        None => {
            let partitioned = hive::files_below(folder)?;
            if partitioned.is_empty() {
                return Err(empty_folder(folder, num_folders));
            }
            listing.files.extend(partitioned);
            listing.roots.push(folder.to_owned());
            Ok(())
        }
    }
}

fn check_one_kind(folder: &Path, kinds: &BTreeMap<Kind, Vec<PathBuf>>) -> Result<()> {
    let mut firsts = kinds.values().map(|names| names[0].display());
    let (Some(one), Some(other)) = (firsts.next(), firsts.next()) else { return Ok(()) };
    let message = format!(
        "{} is a directory with mixed formats: {one} beside {other}; name the files of one format, such as {}",
        folder.display(),
        folder.join("*.arrow").display()
    );
    Err(Error::SchemaMismatch { path: Some(folder.to_owned()), message })
}

fn empty_folder(folder: &Path, num_folders: usize) -> Error {
    let problem = if folder.join("dataset_dict.json").is_file() {
        "it holds a dataset for each split; name one of its folders, such as train".to_owned()
    } else if num_folders > 0 {
        format!(
            "it holds no Arrow files, but {num_folders} folders; name one of them, or a glob such as **/*.arrow"
        )
    } else {
        "it holds no Arrow files".to_owned()
    };
    Error::MissingShard { path: folder.to_owned(), problem }
}

/// File names of a folder, and how many folders are in it.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, usize)> {
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

/// `datasets` keeps results of `map` and half-written files beside the shards of its cache.
fn is_cache_shard(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    name.ends_with(b".arrow") && !name.starts_with(b"cache-") && !name.starts_with(b"tmp")
}

fn read_note(folder: &Path, name: &str) -> Result<Option<Json>> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("read", &path, source)),
    };
    Json::parse(&text).map(Some).map_err(|problem| Error::corrupt(&path, problem))
}

/// The shards of a folder that `save_to_disk` wrote, in the order of its state.
fn add_saved(folder: &Path, state: &Json, listing: &mut Listing) -> Result<()> {
    let note = folder.join("state.json");
    let has_indices = ["_indices_data_files", "_indices_files"]
        .iter()
        .filter_map(|key| state.get(key))
        .any(|files| !matches!(files, Json::Null) && *files != Json::List(Vec::new()));
    if has_indices {
        let message = "the rows are chosen by an indices file, which a later version reads; \
                       until then save it again after ds = ds.flatten_indices()"
            .to_owned();
        return Err(Error::Unsupported { path: note, message });
    }
    let Some(Json::List(files)) = state.get("_data_files") else {
        return Err(Error::corrupt(&note, "it has no list _data_files; save the dataset again"));
    };
    for file in files {
        let Some(Json::Text(name)) = file.get("filename") else {
            return Err(Error::corrupt(&note, "a data file without a filename; save the dataset again"));
        };
        let path = folder.join(inside(name).ok_or_else(|| {
            Error::corrupt(
                &note,
                format!("the data file {name:?} does not lie in this folder; save it again"),
            )
        })?);
        match fs::metadata(&path) {
            Ok(_) => listing.files.push(path),
            Err(error) => return Err(missing(&path, error)),
        }
    }
    Ok(())
}

/// A name that cannot leave its folder.
fn inside(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    let stays = path.components().all(|component| matches!(component, Component::Normal(_)));
    (stays && !name.is_empty()).then_some(path)
}

fn is_glob(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

fn add_glob(pattern: &Path, listing: &mut Listing) -> Result<()> {
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
        return folders.iter().try_for_each(|folder| add_folder(folder, listing));
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
    const NAMED: usize = 3;
    let Ok(entries) = fs::read_dir(folder) else { return format!("{} cannot be listed", folder.display()) };
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| PathBuf::from(entry.file_name())).collect();
    natural::sort(&mut names);
    if names.is_empty() {
        return format!("{} is empty", folder.display());
    }
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| name.display().to_string()).collect();
    let rest = names.len().saturating_sub(NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{} holds {}{more}", folder.display(), shown.join(", "))
}

fn missing(path: &Path, source: std::io::Error) -> Error {
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
