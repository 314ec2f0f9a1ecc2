//! Folders that HF's `datasets` leaves on the disk: of its cache, of `save_to_disk`, and of a `DatasetDict`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::json::Json;
use super::listing::{Listing, entries, missing};
use crate::{Error, Result};

/// Adds the shards of a folder of `datasets`; `false` where it is none.
pub(super) fn add(folder: &Path, split: Option<&str>, listing: &mut Listing) -> Result<bool> {
    if let Some(state) = read_note(folder, "state.json")? {
        return add_saved(folder, &state, split, listing).map(|()| true);
    }
    if let Some(dict) = read_note(folder, "dataset_dict.json")? {
        return add_dict(folder, &dict, split, listing).map(|()| true);
    }
    if folder.join("dataset_info.json").is_file() {
        return add_cache(folder, split, listing);
    }
    Ok(false)
}

/// Row numbers count the rows of one saved folder: beside other files they would choose other rows.
pub(super) fn check_indices(listing: &Listing) -> Result<()> {
    match listing.indices.first() {
        Some(indices) if listing.files.len() != listing.num_indexed => Err(Error::InvalidArgument(format!(
            "the rows beside {} are chosen by this indices file, so that its folder can only be opened alone; open \
             the others as datasets of their own, or save it again after ds = ds.flatten_indices()",
            indices.display()
        ))),
        _ => Ok(()),
    }
}

fn read_note(folder: &Path, name: &str) -> Result<Option<Json>> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(Error::corrupt(&path, "it is not UTF-8; save the dataset again"));
        }
        Err(source) => return Err(Error::io("read", &path, source)),
    };
    Json::parse(&text).map(Some).map_err(|problem| Error::corrupt(&path, problem))
}

/// The shards of a folder that `save_to_disk` wrote, in the order of its state.
fn add_saved(folder: &Path, state: &Json, split: Option<&str>, listing: &mut Listing) -> Result<()> {
    let note = folder.join("state.json");
    check_saved_split(folder, state, split)?;
    let files = named_files(folder, &note, state, "_data_files")?
        .ok_or_else(|| Error::corrupt(&note, "it has no list _data_files; save the dataset again"))?;
    for key in ["_indices_data_files", "_indices_files"] {
        listing.indices.extend(named_files(folder, &note, state, key)?.unwrap_or_default());
    }
    if !listing.indices.is_empty() {
        listing.num_indexed = files.len();
    }
    listing.files.extend(files);
    Ok(())
}

fn check_saved_split(folder: &Path, state: &Json, split: Option<&str>) -> Result<()> {
    let Some(asked) = split else { return Ok(()) };
    match state.get("_split") {
        Some(Json::Text(own)) if own == asked => Ok(()),
        Some(Json::Text(own)) => Err(no_split(folder, asked, &[own.as_str()])),
        _ => Err(no_split::<&str>(folder, asked, &[])),
    }
}

/// The files that a key of the state names; `None` without the key.
fn named_files(folder: &Path, note: &Path, state: &Json, key: &str) -> Result<Option<Vec<PathBuf>>> {
    let files = match state.get(key) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::List(files)) => files,
        Some(_) => return Err(Error::corrupt(note, format!("{key} is no list; save the dataset again"))),
    };
    files.iter().map(|file| named_file(folder, note, file)).collect::<Result<_>>().map(Some)
}

fn named_file(folder: &Path, note: &Path, file: &Json) -> Result<PathBuf> {
    let Some(Json::Text(name)) = file.get("filename") else {
        return Err(Error::corrupt(note, "a data file without a filename; save the dataset again"));
    };
    let inside = inside(name).ok_or_else(|| {
        let problem = format!("the data file {name:?} does not lie in this folder; save it again");
        Error::corrupt(note, problem)
    })?;
    let path = folder.join(inside);
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(missing(&path, error)),
    }
}

/// A name that cannot leave its folder.
fn inside(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    let stays = path.components().all(|component| matches!(component, Component::Normal(_)));
    (stays && !name.is_empty()).then_some(path)
}

/// One of the saved folders of a `DatasetDict`.
fn add_dict(folder: &Path, dict: &Json, split: Option<&str>, listing: &mut Listing) -> Result<()> {
    let note = folder.join("dataset_dict.json");
    let damaged = || Error::corrupt(&note, "it has no list of the names of splits; save the dataset again");
    let Some(Json::List(splits)) = dict.get("splits") else { return Err(damaged()) };
    let name = |split: &Json| match split {
        Json::Text(name) if inside(name).is_some() => Ok(name.clone()),
        _ => Err(damaged()),
    };
    let splits = splits.iter().map(name).collect::<Result<Vec<_>>>()?;
    let chosen = choose(folder, &splits, split)?;
    let saved = folder.join(chosen);
    let state = read_note(&saved, "state.json")?
        .ok_or_else(|| missing(&saved.join("state.json"), std::io::ErrorKind::NotFound.into()))?;
    add_saved(&saved, &state, None, listing)
}

/// The shards of one split of a cache folder, in the order of their numbers.
fn add_cache(folder: &Path, split: Option<&str>, listing: &mut Listing) -> Result<bool> {
    let names = entries(folder)?.0;
    let found = ["arrow", "parquet"].map(|kind| CacheShard::find(folder, &names, kind));
    let Some(shards) = found.into_iter().find(|shards| !shards.is_empty()) else {
        return add_unnumbered(folder, names, split, listing);
    };
    let mut splits: BTreeMap<String, Vec<CacheShard>> = BTreeMap::new();
    for shard in shards {
        splits.entry(shard.split.clone()).or_default().push(shard);
    }
    let known: Vec<String> = splits.keys().cloned().collect();
    let mut shards = splits.remove(choose(folder, &known, split)?).unwrap_or_default();
    shards.sort_by_key(|shard| shard.number);
    check_complete(folder, &shards)?;
    listing.files.extend(shards.iter().map(|shard| folder.join(&shard.name)));
    Ok(true)
}

/// Arrow files that are not named as builders name them.
fn add_unnumbered(
    folder: &Path,
    mut names: Vec<PathBuf>,
    split: Option<&str>,
    listing: &mut Listing,
) -> Result<bool> {
    names.retain(|name| is_shard(name, "arrow"));
    super::natural::sort(&mut names);
    if let (Some(split), false) = (split, names.is_empty()) {
        return Err(no_split::<&str>(folder, split, &[]));
    }
    listing.files.extend(names.iter().map(|name| folder.join(name)));
    Ok(!names.is_empty())
}

/// A file `NAME-SPLIT.arrow`, or `NAME-SPLIT-00001-of-00004.arrow`.
struct CacheShard {
    name: PathBuf,
    /// The name up to the number.
    prefix: String,
    split: String,
    number: usize,
    /// Number of shards of the split.
    of: usize,
}

impl CacheShard {
    /// The shards among `names`: of the splits that the folder's note tells of, where it tells of any.
    fn find(folder: &Path, names: &[PathBuf], extension: &str) -> Vec<Self> {
        let note = read_note(folder, "dataset_info.json").ok().flatten();
        let known = |split: &str| match note.as_ref().and_then(|note| note.get("splits")) {
            Some(splits @ Json::Object(entries)) if !entries.is_empty() => splits.get(split).is_some(),
            _ => true,
        };
        let shards =
            names.iter().filter(|name| is_shard(name, extension)).filter_map(|name| Self::parse(name));
        shards.filter(|shard| known(&shard.split)).collect()
    }

    fn parse(name: &Path) -> Option<Self> {
        let stem = name.file_stem()?.to_str()?;
        let (prefix, number, of) = numbered(stem).unwrap_or((stem, 0, 1));
        let (_, split) = prefix.rsplit_once('-')?;
        let (prefix, split) = (prefix.to_owned(), split.to_owned());
        Some(Self { name: name.to_owned(), prefix, split, number, of })
    }
}

/// What stands before `-00001-of-00004`, and the two numbers.
fn numbered(stem: &str) -> Option<(&str, usize, usize)> {
    let (rest, of) = stem.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
    Some((prefix, digits(number)??, digits(of)??))
}

/// `datasets` keeps results of `map` and half-written files beside the shards of its cache.
fn is_shard(name: &Path, extension: &str) -> bool {
    let bytes = name.as_os_str().as_encoded_bytes();
    name.extension().is_some_and(|own| own == extension)
        && ![&b"cache-"[..], b"tmp", b"."].iter().any(|prefix| bytes.starts_with(prefix))
}

/// An error where shards `0..of` are not all there.
fn check_complete(folder: &Path, shards: &[CacheShard]) -> Result<()> {
    let Some(first) = shards.first() else { return Ok(()) };
    let is_other = |shard: &&CacheShard| (&shard.prefix, shard.of) != (&first.prefix, first.of);
    if let Some(other) = shards.iter().find(is_other) {
        let (one, other) = (first.name.display(), other.name.display());
        let problem = format!("{one} and {other} were not made together; name the files of one preparation");
        return Err(Error::corrupt(folder, problem));
    }
    let numbers = shards.iter().map(|shard| shard.number);
    let absent = numbers.chain([first.of]).zip(0..).find(|(number, expected)| number != expected);
    match absent {
        None => Ok(()),
        Some((_, number)) => Err(Error::MissingShard {
            path: folder.to_owned(),
            problem: format!(
                "shard {number} of the {} of split {} is not there; prepare the dataset again, or name the files \
                 that are",
                first.of, first.split
            ),
        }),
    }
}

/// The split that is meant: the one asked for, or the only one.
fn choose<'a>(folder: &Path, splits: &'a [String], asked: Option<&str>) -> Result<&'a String> {
    if let Some(asked) = asked {
        return splits.iter().find(|split| *split == asked).ok_or_else(|| no_split(folder, asked, splits));
    }
    match splits {
        [only] => Ok(only),
        [] => Err(Error::MissingShard { path: folder.to_owned(), problem: "it has no split".to_owned() }),
        [first, ..] => Err(Error::InvalidArgument(format!(
            "{} holds a dataset for each split: {}; choose one, as in rowmill.open(..., split={first:?})",
            folder.display(),
            splits.join(", ")
        ))),
    }
}

fn no_split<S: AsRef<str>>(folder: &Path, asked: &str, splits: &[S]) -> Error {
    let names: Vec<&str> = splits.iter().map(AsRef::as_ref).collect();
    let there = if names.is_empty() { "no split by name".to_owned() } else { names.join(", ") };
    Error::MissingShard {
        path: folder.to_owned(),
        problem: format!("there is no split {asked:?}; it holds {there}"),
    }
}
