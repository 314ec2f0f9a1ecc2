//! What the stored index promises: shared by ranks, never trusted when damaged, never in the way.

mod manifest_cases;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use manifest_cases::{Counted, Dataset, options};
use rowmill_core::manifest::{Manifest, ManifestOptions};

const CHILD_FOLDER: &str = "ROWMILL_TEST_CHILD_FOLDER";

#[test]
fn threads_that_open_together_share_one_walk() {
    let data = Dataset::new(6);
    let walk = Counted::slow(Duration::from_millis(5));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let manifest = Manifest::open_with(&data.files, &data.options, &walk).unwrap();
                assert_eq!(
                    manifest.num_rows(),
                    data.files.iter().enumerate().map(|(i, _)| (i as u64 + 1) * (10 + i as u64)).sum::<u64>()
                );
            });
        }
    });
    assert_eq!(walk.num_walks.load(Ordering::SeqCst), 6);
}

#[test]
fn ranks_that_force_an_index_together_share_its_walk() {
    let data = Dataset::new(6);
    data.open();
    let forced = ManifestOptions { force_reindex: true, ..data.options.clone() };
    let walk = Counted::slow(Duration::from_millis(50));
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                Manifest::open_with(&data.files, &forced, &walk).unwrap();
            });
        }
    });
    // A rank that began after the first walks did must repeat those; four separate walks would be 24.
    assert!(walk.num_walks.load(Ordering::SeqCst) <= 12);
}

#[test]
fn processes_that_open_together_share_one_walk() {
    let data = Dataset::new(6);
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_child_process_opens", "--nocapture"])
                .env(CHILD_FOLDER, data.folder.path())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut num_walked = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let count = text.split("walked=").nth(1).and_then(|rest| rest.split_whitespace().next());
        num_walked += count.expect("a count").parse::<usize>().unwrap();
    }
    assert_eq!(num_walked, 6);
}

/// Not a test by itself: the body of the processes above.
#[test]
fn a_child_process_opens() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER).map(PathBuf::from) else { return };
    let files: Vec<PathBuf> = (0..6).map(|shard| folder.join(format!("shard-{shard}.arrow"))).collect();
    let walk = Counted::slow(Duration::from_millis(20));
    let manifest = Manifest::open_with(&files, &options(&folder.join("index")), &walk).unwrap();
    println!("walked={} ", manifest.report().num_walked);
}

#[test]
fn an_index_with_any_byte_changed_is_rebuilt_with_the_same_result() {
    let data = Dataset::new(2);
    let sound = data.open();
    let index_file = data.index_file();
    let bytes = fs::read(&index_file).unwrap();
    // Every byte of the header, every third of the rest: each costs two fsyncs, and the codec's own test flips all.
    for at in (0..88).chain((88..bytes.len()).step_by(3)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&index_file, &damaged).unwrap();
        let manifest = data.open();
        assert_eq!(manifest.fingerprint(), sound.fingerprint(), "byte {at}");
        assert_eq!(manifest.block_rows(), sound.block_rows());
        assert_eq!(manifest.report().num_walked, 2, "byte {at}");
        assert_eq!(manifest.report().warnings.len(), 1, "{:?}", manifest.report().warnings);
        assert!(manifest.report().warnings[0].contains("built again"));
    }
    assert_eq!(data.open().report().num_walked, 0);
}

#[test]
fn a_cut_or_foreign_index_is_rebuilt() {
    let data = Dataset::new(2);
    data.open();
    let index_file = data.index_file();
    let bytes = fs::read(&index_file).unwrap();
    let longer = [&bytes[..], &[0; 8]].concat();
    for content in
        [&b""[..], b"x", &bytes[..8], &bytes[..bytes.len() / 2], &bytes[..bytes.len() - 1], &longer]
    {
        fs::write(&index_file, content).unwrap();
        assert_eq!(data.open().report().num_walked, 2);
        assert_eq!(data.open().report().num_walked, 0);
    }
}

#[test]
fn half_written_files_of_a_killed_process_are_ignored_and_removed() {
    let data = Dataset::new(2);
    data.open();
    let index_file = data.index_file();
    let half = index_file.with_extension("4242.0.tmp");
    fs::write(&half, &fs::read(&index_file).unwrap()[..40]).unwrap();
    assert_eq!(data.open().report().num_walked, 0, "a leftover does not disturb");
    fs::remove_file(&index_file).unwrap();
    assert_eq!(data.open().report().num_walked, 2);
    assert!(!half.exists(), "the next writer cleans up");
    assert_eq!(data.open().report().num_walked, 0);
}

#[test]
fn a_lock_file_of_a_dead_process_is_free() {
    let data = Dataset::new(2);
    data.open();
    let index_file = data.index_file();
    assert!(index_file.with_extension("lock").exists(), "the lock's file stays, its lock does not");
    fs::remove_file(&index_file).unwrap();
    assert_eq!(data.open().report().num_walked, 2);
}

#[test]
fn an_index_folder_that_cannot_be_written_costs_one_warning() {
    let data = Dataset::new(2);
    // A file where the folder should be fails for every user, root included.
    fs::write(data.index_dir(), "in the way").unwrap();
    for _ in 0..2 {
        let manifest = data.open();
        assert_eq!((manifest.num_shards(), manifest.report().num_walked), (2, 2));
        assert_eq!(manifest.report().warnings.len(), 1, "{:?}", manifest.report().warnings);
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_index_folder_is_still_read() {
    use std::os::unix::fs::PermissionsExt;
    let data = Dataset::new(2);
    data.open();
    let set_mode = |mode| fs::set_permissions(data.index_dir(), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o555);
    let reused = data.open();
    manifest_cases::age(&data.files[0], 900);
    let walked = data.open();
    set_mode(0o755);
    assert_eq!(reused.report().num_walked, 0);
    assert!(reused.report().warnings.is_empty());
    // Root writes into read-only folders; everybody else gets one warning.
    assert_eq!(walked.report().num_walked, 1);
    assert!(walked.report().warnings.len() <= 1);
}

#[test]
fn datasets_of_other_folders_do_not_disturb_each_other() {
    let (a, b) = (Dataset::new(2), Dataset::new(3));
    let shared = options(&a.index_dir());
    for walked in [true, false] {
        let counts = [&a, &b].map(|data| Manifest::open(&data.files, &shared).unwrap().report().num_walked);
        assert_eq!(counts, if walked { [2, 3] } else { [0, 0] });
    }
    let both: Vec<PathBuf> = a.files.iter().chain(&b.files).cloned().collect();
    assert_eq!(Manifest::open(&both, &shared).unwrap().num_shards(), 5);
    assert_eq!(Manifest::open(&both, &shared).unwrap().report().num_walked, 0);
}
