//! Damaged files give rows or a typed error: no panic, no abort, no memory bomb.
//!
//! Decoding is not wrapped in `catch_unwind`: one panic anywhere fails the test.

mod ipc_cases;

use std::path::Path;

use ipc_cases::{Options, cases, read_all, save, write};
use rowmill_core::Error;
use rowmill_core::shard::index;
use rowmill_core::source::IoMode;

/// Steele and Vigna's `SplitMix64`: seeded, so that a failure comes back.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Values that lengths and offsets break on.
const NASTY: [u64; 10] = [
    0,
    1,
    u64::MAX,
    i64::MAX as u64,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 31,
    1 << 40,
    0x8000_0000_0000_0000,
    255,
];

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    match random.below(8) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let at = random.below(bytes.len() / 8) * 8;
            let value = NASTY[random.below(NASTY.len())].to_le_bytes();
            let end = bytes.len().min(at + 8);
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        2 => {
            let at = random.below(bytes.len() / 4) * 4;
            let value = (NASTY[random.below(NASTY.len())] as u32).to_le_bytes();
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        3 => {
            let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
            let len = random.below(64).min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + len, to);
        }
        kind => {
            // Most damage goes where the headers are: the first and the last kilobyte.
            for _ in 0..=random.below(3) {
                let near = bytes.len().min(1500);
                let at = match kind {
                    4 | 5 => random.below(near),
                    6 => bytes.len() - 1 - random.below(near),
                    _ => random.below(bytes.len()),
                };
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
}

fn read(path: &Path, mode: IoMode, what: &str) -> bool {
    let outcome = read_all(path, mode);
    // Written over, ext4 would flush the file each time.
    std::fs::remove_file(path).unwrap();
    match outcome {
        Ok(_) => true,
        Err(Error::CorruptShard { .. } | Error::Unsupported { .. }) => false,
        Err(other) => panic!("{what}: not an error of the file: {other:?}"),
    }
}

fn mutants(seed: u64, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut num_read, mut num_refused) = (0, 0);
    for case in cases() {
        for (name, options) in Options::all() {
            let sound = write(&case, &options);
            for round in 0..rounds {
                let mut bytes = sound.clone();
                damage(&mut bytes, &mut random);
                let path = save(folder.path(), "x.arrow", &bytes);
                let mode = if round % 2 == 0 { IoMode::Mmap } else { IoMode::Read };
                let what = format!("{} as {name}, seed {seed}, round {round}", case.name);
                if read(&path, mode, &what) { num_read += 1 } else { num_refused += 1 }
            }
        }
    }
    assert!(num_refused > num_read / 4, "the damage must bite: {num_refused} refused, {num_read} read");
}

#[test]
fn mutants_give_rows_or_a_typed_error() {
    let rounds = std::env::var("ROWMILL_MUTANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let seed = std::env::var("ROWMILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    mutants(seed, rounds);
    assert!(peak_memory_mib() < 1024, "{} MiB", peak_memory_mib());
}

#[test]
fn every_truncation_gives_fewer_rows_or_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases().iter().filter(|case| ["tokens", "extension", "no batch"].contains(&case.name)) {
        for (name, options) in Options::all() {
            let sound = write(case, &options);
            for len in (0..sound.len()).step_by(if sound.len() > 3000 { 37 } else { 1 }) {
                let path = save(folder.path(), "x.arrow", &sound[..len]);
                let what = format!("{} as {name}, {len} bytes", case.name);
                read(&path, if len % 2 == 0 { IoMode::Mmap } else { IoMode::Read }, &what);
            }
        }
    }
}

#[test]
fn what_is_not_arrow_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = |bytes: &[u8]| index(&save(folder.path(), "x.arrow", bytes)).unwrap_err().to_string();
    assert!(text(b"").contains("empty (0 bytes)"));
    assert!(text(b"PAR1....................").contains("Parquet"));
    assert!(text(b"ARROW1\0\0").contains("no footer"));
    assert!(text(&[0xff; 64]).contains("message header of 4294967295 bytes"));
    assert!(matches!(index(&folder.path().join("gone")), Err(Error::MissingShard { .. })));
    assert!(matches!(index(folder.path()), Err(Error::Unsupported { .. } | Error::Io { .. })));
}

#[cfg(target_os = "linux")]
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[cfg(not(target_os = "linux"))]
fn peak_memory_mib() -> u64 {
    0
}
