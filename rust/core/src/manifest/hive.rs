//! Folders named `key=value`, as Spark and others write them: their names are columns.
//!
//! As in pyarrow: a column is int32 where all its values are, otherwise text; `__HIVE_DEFAULT_PARTITION__` is
//! null; a column that stands in the files themselves is read from there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int32Array};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use xxhash_rust::xxh3::Xxh3Default;

use super::natural;
use crate::source::remote::is_remote;
use crate::{Error, Result};

/// Folders in folders; deeper ones are a loop of links.
const MAX_DEPTH: usize = 32;

const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a folder's name says of the rows in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionValue {
    /// Of a column whose values are all numbers.
    Number(i32),
    /// Of any other.
    Text(Arc<str>),
}

/// A column that the names of folders make.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) field: FieldRef,
    /// Of each shard.
    pub(crate) values: Vec<Option<PartitionValue>>,
}

impl Partition {
    /// The column of a block of `num_rows` rows, in storage form.
    pub(crate) fn column(&self, shard: usize, num_rows: usize) -> ArrayRef {
        let is_number = *self.field.data_type() == DataType::Int32;
        match &self.values[shard] {
            Some(PartitionValue::Number(number)) => Arc::new(Int32Array::from_value(*number, num_rows)),
            Some(PartitionValue::Text(text)) => {
                Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(text.as_bytes(), num_rows)))
            }
            None if is_number => Arc::new(Int32Array::new_null(num_rows)),
            None => Arc::new(BinaryArray::new_null(num_rows)),
        }
    }
}

/// The Parquet files of a folder and of those below it that are named `key=value`: each folder's files in their
/// natural order, then its folders.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    add_files(folder, &mut files, 0)?;
    Ok(files)
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<()> {
    let failed = |source| Error::io("list", folder, source);
    let (mut names, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = PathBuf::from(entry.file_name());
        let text = name.as_os_str().as_encoded_bytes();
        // Notes of writers, such as _SUCCESS.
        if text.starts_with(b"_") || text.starts_with(b".") {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            folders.extend(key_value(&name).is_some().then_some(name));
        } else if is_parquet(&name) {
            names.push(name);
        }
    }
    natural::sort(&mut names);
    natural::sort(&mut folders);
    files.extend(names.iter().map(|name| folder.join(name)));
    if depth == MAX_DEPTH && !folders.is_empty() {
        return Err(Error::InvalidArgument(format!(
            "{} has folders in folders more than {MAX_DEPTH} deep; name the files with a glob",
            folder.display()
        )));
    }
    folders.iter().try_for_each(|name| add_files(&folder.join(name), files, depth + 1))
}

fn is_parquet(name: &Path) -> bool {
    let extension = name.extension().map(OsStr::to_ascii_lowercase);
    extension.is_some_and(|extension| extension == "parquet" || extension == "pq")
}

/// Key and value of a folder's name, decoded.
fn key_value(name: &Path) -> Option<(String, Option<String>)> {
    let (key, value) = name.to_str()?.split_once('=')?;
    let value = decoded(value);
    (!key.is_empty()).then(|| (decoded(key), (value != NULL).then_some(value)))
}

/// Bytes that stand as `%2F`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| byte == b'%') {
            Some(value) => (bytes.push(value), rest = &after[2..]).1,
            None => (bytes.push(byte), rest = after).1,
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// The columns that the folders of `paths` make, below the nearest of `roots`; those of `stored` are left out.
pub(crate) fn discover(paths: &[&Path], roots: &[PathBuf], stored: &Schema) -> Vec<Partition> {
    let keys: Vec<Vec<(String, Option<String>)>> = paths.iter().map(|path| keys_of(path, roots)).collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in keys.iter().flatten() {
        if !names.contains(&name) && stored.column_with_name(name).is_none() {
            names.push(name);
        }
    }
    names.into_iter().map(|name| partition(name, &keys)).collect()
}

fn partition(name: &String, keys: &[Vec<(String, Option<String>)>]) -> Partition {
    let texts: Vec<Option<&String>> = keys
        .iter()
        .map(|keys| keys.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_ref()))
        .collect();
    let numbers: Option<Vec<_>> =
        texts.iter().map(|text| text.map_or(Some(None), |text| text.parse().ok().map(Some))).collect();
    let numbers = numbers.filter(|numbers: &Vec<Option<i32>>| numbers.iter().any(Option::is_some));
    let (data_type, values) = if let Some(numbers) = numbers {
        (DataType::Int32, numbers.into_iter().map(|number| number.map(PartitionValue::Number)).collect())
    } else {
        let text = |text: &String| PartitionValue::Text(text.as_str().into());
        (DataType::Utf8, texts.into_iter().map(|value| value.map(text)).collect())
    };
    Partition { field: Arc::new(Field::new(name, data_type, true)), values }
}

fn keys_of(path: &Path, roots: &[PathBuf]) -> Vec<(String, Option<String>)> {
    let below = roots.iter().filter_map(|root| path.strip_prefix(root).ok());
    let Some(folders) = below.min_by_key(|below| below.components().count()).and_then(Path::parent) else {
        return Vec::new();
    };
    // A URL says by `%25` what a folder is called by `%`.
    let is_url = is_remote(path);
    let name_of = |name: &OsStr| -> OsString {
        if is_url { decoded(&name.to_string_lossy()).into() } else { name.to_owned() }
    };
    let names = folders.components().filter_map(|component| match component {
        Component::Normal(name) => key_value(Path::new(&name_of(name))),
        _ => None,
    });
    names.collect()
}

/// Over names, types and values: other folders are other rows.
pub(crate) fn hash(partitions: &[Partition]) -> u128 {
    let mut hash = Xxh3Default::new();
    for partition in partitions {
        hash.update(&(partition.field.name().len() as u64).to_le_bytes());
        hash.update(partition.field.name().as_bytes());
        for value in &partition.values {
            let text = match value {
                None => None,
                Some(PartitionValue::Number(number)) => Some(number.to_string()),
                Some(PartitionValue::Text(text)) => Some(text.to_string()),
            };
            hash.update(&text.as_ref().map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hash.update(text.unwrap_or_default().as_bytes());
        }
    }
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(paths: &[&str]) -> Vec<(String, DataType, Vec<Option<String>>)> {
        let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
        let stored = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
        let found = discover(&paths, &[PathBuf::from("/data")], &stored);
        let text = |value: PartitionValue| match value {
            PartitionValue::Number(number) => number.to_string(),
            PartitionValue::Text(text) => text.to_string(),
        };
        let plain = |partition: Partition| {
            let values = partition.values.into_iter().map(|value| value.map(text)).collect();
            (partition.field.name().clone(), partition.field.data_type().clone(), values)
        };
        found.into_iter().map(plain).collect()
    }

    #[test]
    fn names_of_folders_are_columns_of_numbers_or_texts() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            columns(&["/data/year=2020/lang=en/a.parquet", "/data/year=-3/lang=d%20e/a.parquet"]),
            [
                ("year".to_owned(), DataType::Int32, vec![some("2020"), some("-3")]),
                ("lang".to_owned(), DataType::Utf8, vec![some("en"), some("d e")]),
            ]
        );
        assert_eq!(
            columns(&["/data/k=9999999999/a.parquet", "/data/k=__HIVE_DEFAULT_PARTITION__/a.parquet"]),
            [("k".to_owned(), DataType::Utf8, vec![some("9999999999"), None])]
        );
    }

    #[test]
    fn only_folders_below_the_root_count_and_stored_columns_win() {
        assert!(columns(&["/data/a=b.parquet", "/other/k=1/a.parquet", "/data/x=1/a.parquet"]).is_empty());
    }
}
