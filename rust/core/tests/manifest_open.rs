//! What opening promises: a walk only where a file changed, one schema, one fingerprint, errors with names.

mod manifest_cases;

use std::fs;
use std::path::{Path, PathBuf};

use arrow_schema::{DataType, Field, Schema};
use manifest_cases::{Counted, Dataset, age, options, write_schema};
use rowmill_core::Error;
use rowmill_core::manifest::{Manifest, ManifestOptions, OnError};

#[test]
fn a_second_open_walks_nothing_and_sees_the_same() {
    let data = Dataset::new(5);
    let first = data.open();
    assert_eq!((first.report().num_walked, first.report().num_reused), (5, 0));
    let second = data.open();
    assert_eq!((second.report().num_walked, second.report().num_reused), (0, 5));
    assert_same(&first, &second);
    assert_eq!(first.report().warnings, Vec::<String>::new());
}

#[test]
fn blocks_rows_and_places_are_what_was_written() {
    let data = Dataset::new(3);
    for manifest in [data.open(), data.open()] {
        // Shard i holds i + 1 blocks of 10 + i rows.
        assert_eq!(manifest.block_rows(), [10, 11, 11, 12, 12, 12]);
        assert_eq!(manifest.shard_first_block(), [0, 1, 3]);
        assert_eq!((manifest.num_rows(), manifest.num_shards(), manifest.num_blocks()), (68, 3, 6));
        assert_eq!(
            manifest.total_bytes(),
            data.files.iter().map(|f| f.metadata().unwrap().len()).sum::<u64>()
        );
        let shards: Vec<usize> = (0..6).map(|block| manifest.block(block).0).collect();
        assert_eq!(shards, [0, 1, 1, 2, 2, 2]);
        let index = rowmill_core::shard::index(&data.files[2]).unwrap();
        let view = manifest.shard(2);
        assert_eq!((view.path, view.blocks.clone()), (data.files[2].as_path(), 3..6));
        let blocks: Vec<_> = view.blocks.map(|block| manifest.block(block).1).collect();
        assert_eq!(blocks, index.blocks);
        let rebuilt = manifest.shard_index(2).unwrap();
        assert_eq!(rebuilt.blocks, index.blocks);
        assert_eq!(rebuilt.dictionaries, index.dictionaries);
        assert_eq!(rebuilt.schema, index.schema);
        assert_eq!((rebuilt.header_hash, rebuilt.format), (index.header_hash, index.format));
    }
}

#[test]
fn dictionaries_survive_the_store() {
    let data = Dataset::new(0);
    let files = vec![data.add_with_dictionary("d-0.arrow"), data.add_with_dictionary("d-1.arrow")];
    let walked = Manifest::open(&files, &data.options).unwrap();
    let stored = Manifest::open(&files, &data.options).unwrap();
    assert_eq!(stored.report().num_walked, 0);
    for shard in 0..2 {
        assert!(!walked.shard(shard).dictionaries.is_empty());
        assert_eq!(walked.shard(shard).dictionaries, stored.shard(shard).dictionaries);
    }
    assert_same(&walked, &stored);
}

#[test]
fn one_changed_added_or_removed_shard_costs_one_walk_at_most() {
    let mut data = Dataset::new(6);
    data.open();

    age(&data.files[2], 900);
    assert_eq!(data.open().report().num_walked, 1, "touched");
    data.write(3, 2, 7);
    assert_eq!(data.open().report().num_walked, 1, "rewritten");
    data.write(6, 1, 5);
    assert_eq!(data.open().report().num_walked, 1, "added");
    let removed = data.files.remove(0);
    fs::remove_file(&removed).unwrap();
    assert_eq!(data.open().report().num_walked, 0, "removed");
    data.files.reverse();
    assert_eq!(data.open().report().num_walked, 0, "reordered");
    assert_eq!(data.open().report().num_reused, 6);
}

#[test]
fn a_subset_keeps_the_rest_and_the_dead_go() {
    let data = Dataset::new(6);
    let whole = data.open();
    age(&data.files[1], 900);
    let subset = Manifest::open(&data.files[..3], &data.options).unwrap();
    assert_eq!((subset.report().num_walked, subset.num_shards()), (1, 3));
    assert_ne!(subset.fingerprint(), whole.fingerprint());
    let again = data.open();
    assert_eq!(again.report().num_walked, 0);
    assert_eq!(again.fingerprint(), whole.fingerprint());

    // Once a shard is gone, the next write forgets it: one that comes back is walked.
    let bytes = fs::read(&data.files[5]).unwrap();
    fs::remove_file(&data.files[5]).unwrap();
    age(&data.files[0], 900);
    Manifest::open(&data.files[..5], &data.options).unwrap();
    fs::write(&data.files[5], bytes).unwrap();
    age(&data.files[5], 1000);
    assert_eq!(data.open().report().num_walked, 1);
}

#[test]
fn a_shard_written_just_before_its_walk_is_walked_once_more() {
    let data = Dataset::new(3);
    let touched = fs::File::options().write(true).open(&data.files[1]).unwrap();
    touched.set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(data.open().report().num_walked, 3);
    assert_eq!(data.open().report().num_walked, 1, "its walk came within two seconds of its write");
}

#[test]
fn force_reindex_walks_everything() {
    let data = Dataset::new(3);
    data.open();
    let forced = ManifestOptions { force_reindex: true, ..data.options.clone() };
    assert_eq!(Manifest::open(&data.files, &forced).unwrap().report().num_walked, 3);
    assert_eq!(data.open().report().num_walked, 0);
}

#[test]
fn without_an_index_nothing_is_stored() {
    let data = Dataset::new(2);
    let none = ManifestOptions { use_index: false, ..data.options.clone() };
    for _ in 0..2 {
        let manifest = Manifest::open(&data.files, &none).unwrap();
        assert_eq!(manifest.report().num_walked, 2);
        assert!(manifest.report().warnings.is_empty());
    }
    assert!(!data.index_dir().exists());
}

#[test]
fn the_fingerprint_follows_the_data_and_not_its_place() {
    let data = Dataset::new(4);
    let fingerprint = data.open().fingerprint();
    assert_eq!(fingerprint.len(), 32);

    let copy = tempfile::tempdir().unwrap();
    let copied: Vec<PathBuf> = data
        .files
        .iter()
        .enumerate()
        .map(|(i, file)| {
            let to = copy.path().join(format!("renamed-{i}.bin"));
            fs::copy(file, &to).unwrap();
            to
        })
        .collect();
    let open = |files: &[PathBuf]| Manifest::open(files, &data.options).unwrap().fingerprint();
    assert_eq!(open(&copied), fingerprint);

    let mut reordered = copied.clone();
    reordered.swap(0, 1);
    assert_ne!(open(&reordered), fingerprint);
    assert_ne!(open(&copied[1..]), fingerprint);
    let twice: Vec<PathBuf> = copied.iter().chain(&copied[..1]).cloned().collect();
    assert_ne!(open(&twice), fingerprint);
}

#[test]
fn a_file_named_twice_gives_its_rows_twice_and_is_walked_once() {
    let data = Dataset::new(1);
    let files = [data.files[0].clone(), data.files[0].clone()];
    for walked in [1, 0] {
        let manifest = Manifest::open(&files, &data.options).unwrap();
        assert_eq!((manifest.num_rows(), manifest.report().num_walked), (20, walked));
    }
}

#[test]
fn nullability_and_metadata_may_differ() {
    let data = Dataset::new(0);
    let strict = Field::new("x", DataType::Int32, false);
    let loose = Field::new("x", DataType::Int32, true).with_metadata([("k".to_owned(), "v".to_owned())]);
    let a = data.path("a.arrow");
    let b = data.path("b.arrow");
    write_schema(&a, &Schema::new(vec![strict]));
    write_schema(&b, &Schema::new_with_metadata(vec![loose], [("huggingface".to_owned(), "{}".to_owned())]));
    for _ in 0..2 {
        let manifest = Manifest::open(&[a.clone(), b.clone()], &data.options).unwrap();
        assert_eq!(**manifest.schema(), Schema::new(vec![Field::new("x", DataType::Int32, true)]));
        assert_eq!(manifest.shard_schema(1).unwrap().metadata()["huggingface"], "{}");
    }
}

#[test]
fn other_differences_name_both_files_on_every_open() {
    let data = Dataset::new(0);
    let x = |data_type| Field::new("x", data_type, true);
    let y = || Field::new("y", DataType::Utf8, true);
    let cases = [
        (vec![x(DataType::Int32)], vec![x(DataType::Utf8)], "\"x\": Int32 against Utf8"),
        (vec![x(DataType::Int32)], vec![y()], "\"x\": Int32 against no such column"),
        (vec![x(DataType::Int32)], vec![x(DataType::Int32), y()], "\"y\": no such column against Utf8"),
        (vec![x(DataType::Int32), y()], vec![y(), x(DataType::Int32)], "another order"),
    ];
    for (number, (a, b, part)) in cases.into_iter().enumerate() {
        let files = [data.path(&format!("{number}-a.arrow")), data.path(&format!("{number}-b.arrow"))];
        write_schema(&files[0], &Schema::new(a));
        write_schema(&files[1], &Schema::new(b));
        for _ in 0..2 {
            let error = Manifest::open(&files, &data.options).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::SchemaMismatch { .. }), "{text}");
            for wanted in [part, "-a.arrow", "-b.arrow"] {
                assert!(text.contains(wanted), "{text} lacks {wanted}");
            }
        }
    }
}

#[test]
fn a_damaged_shard_is_raised_or_skipped_and_costs_the_others_nothing() {
    let data = Dataset::new(4);
    fs::write(&data.files[2], b"not arrow at all").unwrap();
    fs::write(&data.files[3], b"").unwrap();
    let error = Manifest::open(&data.files, &data.options).unwrap_err();
    assert!(matches!(&error, Error::CorruptShard { path, .. } if *path == data.files[2]), "{error}");

    let skip = ManifestOptions { on_error: OnError::Skip, ..data.options.clone() };
    let mut files = data.files.clone();
    files.push(data.path("absent.arrow"));
    let manifest = Manifest::open(&files, &skip).unwrap();
    assert_eq!((manifest.num_shards(), manifest.report().num_reused), (2, 2));
    let skipped: Vec<&Path> = manifest.report().skipped.iter().map(|(path, _)| path.as_path()).collect();
    assert_eq!(skipped.len(), 3);
    for path in &files[2..] {
        assert!(skipped.contains(&path.as_path()), "{} is not reported", path.display());
    }

    let error = Manifest::open(&files[2..], &skip).unwrap_err();
    assert!(matches!(error, Error::CorruptShard { .. } | Error::MissingShard { .. }), "{error}");
}

#[test]
fn a_missing_file_and_no_file_are_errors() {
    let data = Dataset::new(1);
    let absent = data.path("absent.arrow");
    let error = Manifest::open(&[data.files[0].clone(), absent.clone()], &data.options).unwrap_err();
    assert!(matches!(error, Error::MissingShard { path, .. } if path == absent));
    assert!(matches!(Manifest::open(&[], &data.options), Err(Error::InvalidArgument(_))));
}

#[test]
fn a_panicking_walk_is_an_error_and_no_panic() {
    let data = Dataset::new(4);
    let walk = Counted::panicking();
    let error = Manifest::open_with(&data.files, &data.options, &walk).unwrap_err();
    assert!(matches!(error, Error::Internal(text) if text.contains("shard-0.arrow")));
}

#[test]
fn a_manifest_travels_as_bytes() {
    let data = Dataset::new(3);
    let manifest = data.open();
    let bytes = manifest.to_bytes();
    let shards = rowmill_core::manifest::Shards;
    assert_same(&manifest, &Manifest::from_bytes(&bytes, &shards).unwrap());
    for end in 0..bytes.len() {
        assert!(matches!(Manifest::from_bytes(&bytes[..end], &shards), Err(Error::InvalidArgument(_))));
    }
}

#[test]
fn relative_paths_share_the_index_of_absolute_ones() {
    let here = std::env::current_dir().unwrap();
    let folder = tempfile::tempdir_in(&here).unwrap();
    let data = Dataset::inside(folder, 2);
    let relative: Vec<PathBuf> =
        data.files.iter().map(|file| file.strip_prefix(&here).unwrap().to_owned()).collect();
    let manifest = Manifest::open(&relative, &data.options).unwrap();
    assert!(manifest.shard_path(0).is_absolute());
    assert_eq!(data.open().report().num_walked, 0);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_stored_and_found() {
    use std::os::unix::ffi::OsStrExt;
    let data = Dataset::new(1);
    let odd = data.index_dir().parent().unwrap().join(std::ffi::OsStr::from_bytes(b"sh\xffard.arrow"));
    fs::rename(&data.files[0], &odd).unwrap();
    let open = || Manifest::open(std::slice::from_ref(&odd), &options(&data.index_dir())).unwrap();
    assert_eq!(open().report().num_walked, 1);
    assert_eq!(open().report().num_walked, 0);
}

fn assert_same(a: &Manifest, b: &Manifest) {
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_eq!(a.schema(), b.schema());
    assert_eq!(a.block_rows(), b.block_rows());
    assert_eq!(a.block_bytes(), b.block_bytes());
    assert_eq!(a.shard_first_block(), b.shard_first_block());
    assert_eq!(a.total_bytes(), b.total_bytes());
    for shard in 0..a.num_shards() {
        let (a, b) = (a.shard(shard), b.shard(shard));
        assert_eq!(
            (a.path, a.identity, a.format, a.schema_message),
            (b.path, b.identity, b.format, b.schema_message)
        );
    }
}
