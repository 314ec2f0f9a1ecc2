//! Folders named `key=value`: found at every depth, kept through the stored index and through bytes.

mod parquet_cases;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parquet_cases::{rows, small, write};
use rowmill_core::manifest::{Manifest, ManifestOptions, PartitionValue, Shards, resolve};

fn dataset(folder: &Path, names: &[&str]) {
    for (index, name) in names.iter().enumerate() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, &rows(index as i64 * 10, index as i64 * 10 + 10, 16), small());
        // Old enough for an index to be trusted.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
}

fn open(data: &Path, index_dir: &Path) -> Manifest {
    let options = ManifestOptions { index_dir: Some(index_dir.to_owned()), ..ManifestOptions::default() };
    Manifest::open_listed(&resolve(&[data]).unwrap(), &options).unwrap()
}

/// What the folders say of each shard, column by column.
fn values(manifest: &Manifest) -> Vec<Vec<(String, Option<String>)>> {
    let text = |value: &PartitionValue| match value {
        PartitionValue::Number(number) => number.to_string(),
        PartitionValue::Text(text) => format!("{text:?}"),
    };
    let of_shard = |shard| {
        let columns = manifest.partition_values(shard);
        columns.map(|(field, value)| (field.name().clone(), value.map(text))).collect()
    };
    (0..manifest.num_shards()).map(of_shard).collect()
}

#[test]
fn columns_of_folders_travel_with_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let (data, index_dir) = (folder.path().join("data"), folder.path().join("index"));
    dataset(&data, &["lang=de/year=2020/a.parquet", "lang=en/year=2021/a.parquet"]);
    let fresh = open(&data, &index_dir);
    let stored = open(&data, &index_dir);
    assert_eq!((fresh.report().num_walked, stored.report().num_walked), (2, 0));
    let carried = Manifest::from_bytes(&stored.to_bytes(), &Shards).unwrap();
    let again = Manifest::from_bytes(&carried.to_bytes(), &Shards).unwrap();
    for manifest in [&stored, &carried, &again] {
        assert_eq!(manifest.schema(), fresh.schema());
        assert_eq!(manifest.num_stored_columns() + 2, manifest.schema().fields().len());
        assert_eq!(values(manifest), values(&fresh));
        assert_eq!(manifest.fingerprint(), fresh.fingerprint());
    }
    assert_eq!(values(&fresh)[1][0], ("lang".to_owned(), Some("\"en\"".to_owned())));
}

#[test]
fn files_at_several_depths_are_one_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(
        &data,
        &["p.parquet", "k=1/p.parquet", "k=2/j=x/p.parquet", "other/p.parquet", "k=3/_old/p.parquet"],
    );
    let manifest = open(&data, &folder.path().join("index"));
    let names: Vec<PathBuf> = (0..manifest.num_shards())
        .map(|shard| manifest.shard_path(shard).strip_prefix(&data).unwrap().to_owned())
        .collect();
    assert_eq!(names, ["p.parquet", "k=1/p.parquet", "k=2/j=x/p.parquet"].map(PathBuf::from));
    let found = values(&manifest);
    let column = |name: &str| -> Vec<Option<String>> {
        let of_shard = |shard: &Vec<(String, Option<String>)>| {
            shard.iter().find(|(own, _)| own == name).and_then(|(_, value)| value.clone())
        };
        found.iter().map(of_shard).collect()
    };
    assert_eq!(column("k"), [None, Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(column("j"), [None, None, Some("\"x\"".to_owned())]);
}
