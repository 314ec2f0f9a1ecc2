//! What a user may name, and which files that means.

use std::fs;
use std::path::{Path, PathBuf};

use rowmill_core::Error;
use rowmill_core::manifest::{resolve, resolve_split};
use tempfile::TempDir;

fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    folder
}

/// What was found, relative to the folder.
fn names(folder: &TempDir, inputs: &[&str]) -> Vec<String> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|input| folder.path().join(input)).collect();
    let listing = resolve(&inputs).unwrap_or_else(|error| panic!("{error}"));
    let relative =
        |file: &PathBuf| file.strip_prefix(folder.path()).unwrap().to_str().unwrap().replace('\\', "/");
    listing.files.iter().map(relative).collect()
}

fn error(folder: &TempDir, input: &str) -> Error {
    resolve(&[folder.path().join(input)]).unwrap_err()
}

#[test]
fn a_folder_gives_its_shards_in_natural_order() {
    let data = folder(&[
        "s-10.arrow",
        "s-2.arrow",
        "s-1.ipc",
        ".hidden.arrow",
        "README.md",
        "a.lock",
        "x.json",
        "n.txt",
        "LICENSE",
        "sub/s-0.arrow",
    ]);
    assert_eq!(names(&data, &[""]), ["s-1.ipc", "s-2.arrow", "s-10.arrow"]);
}

#[test]
fn a_glob_is_in_natural_order_and_a_list_in_its_own() {
    let data = folder(&["s-10.arrow", "s-2.arrow", "s-1.arrow"]);
    assert_eq!(names(&data, &["*.arrow"]), ["s-1.arrow", "s-2.arrow", "s-10.arrow"]);
    assert_eq!(
        names(&data, &["s-10.arrow", "s-2.arrow", "s-10.arrow"]),
        ["s-10.arrow", "s-2.arrow", "s-10.arrow"]
    );
    assert_eq!(names(&data, &["s-10.arrow", "s-[12].arrow"]), ["s-10.arrow", "s-1.arrow", "s-2.arrow"]);
}

#[test]
fn a_glob_leaves_notes_out_and_takes_folders_when_there_is_nothing_else() {
    let data = folder(&["a/s.arrow", "a/n.json", "a/.x", "b/s.arrow"]);
    assert_eq!(names(&data, &["a/*"]), ["a/s.arrow"]);
    assert_eq!(names(&data, &["*"]), ["a/s.arrow", "b/s.arrow"]);
    assert_eq!(names(&data, &["**/*.arrow"]), ["a/s.arrow", "b/s.arrow"]);
}

#[test]
fn a_name_with_brackets_is_a_name_where_it_exists() {
    let data = folder(&["s[1].arrow", "s1.arrow"]);
    assert_eq!(names(&data, &["s[1].arrow"]), ["s[1].arrow"]);
    assert_eq!(names(&data, &["s[0-9].arrow"]), ["s1.arrow"]);
}

#[test]
fn a_cache_folder_of_datasets_gives_only_its_shards() {
    let data = folder(&[
        "dataset_info.json",
        "d-train-00001-of-00002.arrow",
        "d-train-00000-of-00002.arrow",
        "cache-1f.arrow",
        "tmp3x.arrow",
        "x.parquet",
        "d_builder.lock",
    ]);
    assert_eq!(names(&data, &[""]), ["d-train-00000-of-00002.arrow", "d-train-00001-of-00002.arrow"]);
}

#[test]
fn a_glob_over_cached_results_warns() {
    let data = folder(&["d.arrow", "cache-1f.arrow"]);
    let listing = resolve(&[data.path().join("*.arrow")]).unwrap();
    assert_eq!(listing.files.len(), 2);
    assert!(listing.warnings[0].contains("cache-1f.arrow"));
}

#[test]
fn a_saved_folder_follows_its_state() {
    let data = folder(&["b.arrow", "a.arrow", "stray.arrow", "dataset_info.json"]);
    let state = |text: &str| fs::write(data.path().join("state.json"), text).unwrap();
    state(
        r#"{"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}], "_indices_data_files": null}"#,
    );
    assert_eq!(names(&data, &[""]), ["b.arrow", "a.arrow"]);

    fs::write(data.path().join("i.arrow"), "").unwrap();
    for key in ["_indices_data_files", "_indices_files"] {
        state(&format!(
            r#"{{"_data_files": [{{"filename": "a.arrow"}}], "{key}": [{{"filename": "i.arrow"}}]}}"#
        ));
        let listing = resolve(&[data.path()]).unwrap();
        assert_eq!((listing.files.len(), listing.indices), (1, vec![data.path().join("i.arrow")]));
        let both = resolve(&[data.path().to_owned(), data.path().join("b.arrow")]).unwrap_err();
        assert!(both.to_string().contains("can only be opened alone"), "{both}");
    }

    state(r#"{"_data_files": [{"filename": "gone.arrow"}]}"#);
    assert!(matches!(error(&data, ""), Error::MissingShard { path, .. } if path.ends_with("gone.arrow")));

    for text in [
        "",
        "{",
        "[]",
        r#"{"_data_files": 1}"#,
        r#"{"_data_files": [1]}"#,
        r#"{"_data_files": [{"filename": "../a.arrow"}]}"#,
        r#"{"_data_files": [{"filename": "/etc/passwd"}]}"#,
        r#"{"_data_files": [{"filename": ""}]}"#,
    ] {
        state(text);
        assert!(
            matches!(error(&data, ""), Error::CorruptShard { path, .. } if path.ends_with("state.json")),
            "{text}"
        );
    }
}

#[test]
fn the_splits_of_a_cache_folder_are_told_apart() {
    let data = folder(&[
        "dataset_info.json",
        "my-set-train-00001-of-00002.arrow",
        "my-set-train-00000-of-00002.arrow",
        "my-set-test.arrow",
        "cache-1f.arrow",
    ]);
    let of = |split| resolve_split(&[data.path()], split);
    let files = |split| of(Some(split)).unwrap().files;
    assert_eq!(files("test"), [data.path().join("my-set-test.arrow")]);
    assert!(files("train")[0].ends_with("my-set-train-00000-of-00002.arrow") && files("train").len() == 2);
    let several = of(None).unwrap_err();
    assert!(matches!(&several, Error::InvalidArgument(text) if text.contains("test, train")), "{several}");
    let absent = of(Some("dev")).unwrap_err();
    assert!(matches!(&absent, Error::MissingShard { .. }) && absent.to_string().contains("test, train"));

    fs::write(data.path().join("dataset_info.json"), r#"{"splits": {"test": {}}}"#).unwrap();
    assert_eq!(names(&data, &[""]), ["my-set-test.arrow"], "what is no split of the note is left out");
    fs::write(data.path().join("dataset_info.json"), r#"{"splits": {"train": {}}}"#).unwrap();
    fs::remove_file(data.path().join("my-set-train-00000-of-00002.arrow")).unwrap();
    let absent = error(&data, "");
    assert!(absent.to_string().contains("shard 0 of the 2 of split train"), "{absent}");
    fs::write(data.path().join("my-set-train.arrow"), "").unwrap();
    assert!(error(&data, "").to_string().contains("not made together"));
}

#[test]
fn a_saved_dict_gives_one_of_its_splits() {
    let data = folder(&["dataset_dict.json", "train/a.arrow", "test/a.arrow", "test/state.json"]);
    let note = |text: &str| fs::write(data.path().join("dataset_dict.json"), text).unwrap();
    fs::write(data.path().join("test/state.json"), r#"{"_data_files": [{"filename": "a.arrow"}]}"#).unwrap();
    let of = |split| resolve_split(&[data.path()], Some(split));
    note(r#"{"splits": ["train", "test"]}"#);
    assert!(error(&data, "").to_string().contains("train, test; choose one"));
    assert_eq!(of("test").unwrap().files, [data.path().join("test/a.arrow")]);
    assert!(
        matches!(of("train"), Err(Error::MissingShard { path, .. }) if path.ends_with("train/state.json"))
    );
    note(r#"{"splits": ["test"]}"#);
    assert_eq!(names(&data, &[""]), ["test/a.arrow"]);
    for text in ["", "{}", r#"{"splits": [1]}"#, r#"{"splits": ["../test"]}"#, r#"{"splits": ["/test"]}"#] {
        note(text);
        assert!(matches!(error(&data, ""), Error::CorruptShard { .. }), "{text}");
    }
}

#[test]
fn a_split_is_only_chosen_where_there_are_some() {
    let data = folder(&["a.arrow"]);
    for input in ["", "a.arrow", "*.arrow"] {
        let error = resolve_split(&[data.path().join(input)], Some("train")).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(text) if text.contains("train")));
    }
}

#[test]
fn mixed_formats_are_refused_by_name() {
    for (one, other) in
        [("a.arrow", "b.parquet"), ("a.arrow", "b.jsonl"), ("a.parquet", "b.csv"), ("a.feather", "b.tar")]
    {
        let data = folder(&[one, other, "note.txt"]);
        for input in ["", "*"] {
            let error = error(&data, input);
            let text = error.to_string();
            assert!(matches!(error, Error::SchemaMismatch { .. }), "{text}");
            for part in ["a directory with mixed formats", one, other] {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
    }
}

#[test]
fn mixed_formats_are_refused_with_a_pattern_of_what_is_there() {
    for (one, other, pattern) in
        [("a.arrow", "b.csv", "*.arrow"), ("a.csv", "b.parquet", "*.parquet"), ("a.tar", "b.jsonl", "*.tar")]
    {
        let text = error(&folder(&[one, other]), "").to_string();
        assert!(text.ends_with(pattern), "{text} lacks {pattern}");
    }
}

#[test]
fn what_nobody_knows_is_named_and_notes_are_not() {
    let data = folder(&[
        "a.parquet",
        "part-1",
        "old.parquet.bak",
        "README",
        "LICENSE-MIT",
        "_SUCCESS",
        "_metadata",
        ".a.parquet.crc",
        "sums.sha256",
        "k=1/b.parquet",
    ]);
    let listing = resolve(&[data.path()]).unwrap();
    assert_eq!(listing.strangers, ["old.parquet.bak", "part-1"].map(|name| data.path().join(name)));
    let [warning] = listing.warnings.as_slice() else { panic!("{:?}", listing.warnings) };
    assert!(warning.contains("files that are not read: old.parquet.bak, part-1; name"), "{warning}");
    assert!(resolve(&[data.path().join("*.parquet")]).unwrap().warnings.is_empty());
}

#[test]
fn files_in_folders_of_a_folder_are_counted_and_nobody_elses_are() {
    let data = folder(&[
        "a.parquet",
        "de/1.parquet",
        "de/2.parquet",
        "de/notes.md",
        "it/other.arrow",
        "fr/old/3.parquet",
        "k=1/b.parquet",
        "k=1/more/c.parquet",
        // Hidden, unfinished, and what is a data set of its own.
        ".cache/x.parquet",
        "_temporary/0/x.parquet",
        "abc.part/x.parquet",
        "converted/conversion.json",
        "converted/x.parquet",
        "saved/dataset.json",
        "saved/deep/x.parquet",
    ]);
    let listing = resolve(&[data.path()]).unwrap();
    assert_eq!(listing.files, ["a.parquet", "k=1/b.parquet"].map(|name| data.path().join(name)));
    let [warning] = listing.warnings.as_slice() else { panic!("{:?}", listing.warnings) };
    let told = "in folders in it: 2 *.parquet in de, 1 *.parquet in fr/old, 1 *.parquet in k=1/more; name";
    assert!(warning.contains(told), "{warning}");
    assert!(warning.ends_with("**/*.parquet"), "{warning}");
    // Whoever names all of them hears nothing.
    let all = ["", "de", "fr/old", "k=1/more"].map(|name| data.path().join(name));
    assert!(resolve(&all).unwrap().warnings.is_empty());
    assert!(resolve(&[data.path().join("**/*.parquet")]).unwrap().warnings.is_empty());
}

#[test]
fn many_folders_are_counted_and_a_disk_is_not_walked() {
    let names: Vec<String> = (0..60).map(|index| format!("{index}/{index}.tar")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("0.tar");
    let warning = resolve(&[folder(&names).path()]).unwrap().warnings.remove(0);
    assert!(warning.contains(": 1 *.tar in 0, 1 *.tar in 1, 1 *.tar in 2, 57 in 57 more; name"), "{warning}");
    let data = folder(&["a.arrow", "below/b.arrow"]);
    for index in 0..10_500 {
        fs::write(data.path().join(format!("below/{index}.arrow")), "").unwrap();
    }
    let warning = resolve(&[data.path()]).unwrap().warnings.remove(0);
    assert!(warning.contains("in below, and maybe others; name"), "{warning}");
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let data =
        folder(&["d/a.arrow", "d/b.arrow", "d/c.arrow", "d/e.arrow", "empty/README.md", "text/a.jsonl"]);
    let cases = [
        ("d/x.arrow", "holds a.arrow, b.arrow, c.arrow and 1 more"),
        ("d/*.parquet", "holds a.arrow"),
        ("none/*/x.arrow", "holds d, empty, text"),
        ("", "but folders with some: 4 *.arrow in d; name one of them, or all files by"),
        ("empty", "no Arrow files"),
    ];
    for (input, part) in cases {
        let error = error(&data, input);
        let text = error.to_string();
        assert!(matches!(error, Error::MissingShard { .. }) && text.contains(part), "{text} lacks {part}");
    }
    assert!(matches!(error(&data, "text"), Error::Unsupported { .. }));
    assert!(matches!(error(&data, "a[.arrow"), Error::InvalidArgument(_)));
    assert!(matches!(resolve::<&Path>(&[]), Err(Error::InvalidArgument(_))));
}

#[cfg(unix)]
#[test]
fn names_need_not_be_utf8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let data = folder(&[]);
    let odd = data.path().join(OsStr::from_bytes(b"s\xff.arrow"));
    fs::write(&odd, "").unwrap();
    assert_eq!(resolve(&[data.path()]).unwrap().files, std::slice::from_ref(&odd));
    assert_eq!(resolve(std::slice::from_ref(&odd)).unwrap().files, [odd]);
}

#[test]
fn the_home_folder_is_expanded() {
    let error = resolve(&["~/surely-there-is-no-such-shard.arrow"]).unwrap_err();
    let home = std::env::home_dir().expect("a home");
    assert!(matches!(error, Error::MissingShard { path, .. } if path.starts_with(home)));
}
