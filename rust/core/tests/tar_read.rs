//! WebDataset tars: every dialect gives the samples that were written, in blocks, in every way of reading.

mod tar_cases;

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use proptest::prelude::*;
use rowmill_core::Error;
use rowmill_core::manifest::{Manifest, ManifestOptions};
use rowmill_core::shard::{Format, index};
use rowmill_core::source::IoMode;
use tar_cases::{DIALECTS, Dialect, Sample, Tar, octal, read_all, reader, record, write};
use tempfile::tempdir;

const MODES: [IoMode; 3] = [IoMode::Mmap, IoMode::Read, IoMode::Direct];

fn sample(key: &str, values: &[(&str, &[u8])]) -> Sample {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
    (key.to_owned(), values.collect())
}

fn read(tar: &Tar) -> Result<Vec<Sample>, Error> {
    let folder = tempdir().unwrap();
    read_all(&tar.write(folder.path()), IoMode::Mmap)
}

#[test]
fn every_dialect_gives_what_was_written() {
    let long = format!("{}/{}", "folder".repeat(20), "name".repeat(20));
    for dialect in DIALECTS {
        let folder = tempdir().unwrap();
        let mut tar = Tar::new(dialect);
        let mut wanted = Vec::new();
        for (key, text) in [("a", "short"), ("dir/ü", "longer than twelve"), (long.as_str(), "")] {
            if key.len() > 100 && dialect == Dialect::V7 {
                continue;
            }
            tar.file(format!("{key}.TXT").as_bytes(), text.as_bytes());
            tar.file(format!("{key}.seg.png").as_bytes(), &[7; 700]);
            wanted.push(sample(key, &[("txt", text.as_bytes()), ("seg.png", &[7; 700])]));
        }
        let path = tar.write(folder.path());
        for mode in MODES {
            assert_eq!(read_all(&path, mode).unwrap(), wanted, "{dialect:?} {mode:?}");
        }
    }
}

#[test]
fn what_is_no_sample_is_left_out() {
    let mut tar = Tar::new(Dialect::Ustar);
    tar.member(b"pax_global_header", b'g', &record(b"comment", b"0123abc"));
    tar.member(b"dir/", b'5', b"");
    tar.member(b"dir/a.txt", b'0', b"text");
    tar.member(b"dir/link.txt", b'2', b"");
    let with_size = tar.header(b"dir/hard.txt", b'1', &octal(5000));
    tar.push(&with_size, b"");
    tar.member(b"README", b'0', b"no extension");
    tar.member(b"__MACOSX__/x.txt", b'0', b"note");
    tar.member(b"vendor", b'V', &[1; 600]);
    tar.member(b"dir/a.cls", b'7', b"3");
    assert_eq!(read(&tar).unwrap(), [sample("dir/a", &[("txt", b"text"), ("cls", b"3")])]);
}

#[test]
fn a_key_that_comes_back_later_is_another_sample() {
    let mut tar = Tar::new(Dialect::Ustar);
    for name in ["a.x", "b.x", "a.x", "a.y"] {
        tar.file(name.as_bytes(), name.as_bytes());
    }
    let keys: Vec<String> = read(&tar).unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b", "a"]);
}

#[test]
fn columns_are_sorted_and_null_where_a_sample_lacks_them() {
    let folder = tempdir().unwrap();
    let mut tar = Tar::new(Dialect::Ustar);
    tar.file(b"0.txt", b"zero");
    tar.file(b"1.json", b"{}");
    tar.file(b"1.txt", b"one");
    let path = tar.write(folder.path());
    let (reader, found) = reader(&path, IoMode::Mmap, Some(vec![2, 0])).unwrap();
    assert_eq!(found.format, Format::Tar);
    let fields: Vec<_> = found
        .schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type().clone()))
        .collect();
    let bytes = DataType::BinaryView;
    assert_eq!(fields, [("__key__", DataType::Utf8), ("json", bytes.clone()), ("txt", bytes)]);
    let block = reader.decode(0, &found.blocks[0]).unwrap();
    assert_eq!(block.columns.len(), 2);
    assert_eq!((block.columns[0].null_count(), block.columns[1].null_count()), (0, 0));
    assert_eq!(reader.storage_fields()[1].name(), "__key__");
    assert!(block.is_mapped() && block.bytes < 200, "{}", block.bytes);
}

#[test]
fn blocks_are_whole_samples_of_about_a_mebibyte_or_a_thousand() {
    let folder = tempdir().unwrap();
    let mut tar = Tar::new(Dialect::Pax);
    for number in 0..50 {
        tar.file(format!("{number:03}.a").as_bytes(), &vec![1; 50_000]);
        tar.file(format!("{number:03}.b").as_bytes(), &[2; 10]);
    }
    for number in 50..3050 {
        tar.file(format!("{number:04}.a").as_bytes(), b"tiny");
    }
    let path = tar.write(folder.path());
    let found = index(&path).unwrap();
    let rows: Vec<u64> = found.blocks.iter().map(|block| block.num_rows).collect();
    assert_eq!(rows.iter().sum::<u64>(), 3050);
    assert_eq!((rows[0], rows[1]), (20, 20));
    assert!(found.blocks.windows(2).all(|two| two[0].end() <= two[1].offset));
    assert!(found.blocks.iter().all(|block| block.num_rows <= 1000 && block.body_len < 1_200_000));
    assert_eq!(read_all(&path, IoMode::Mmap).unwrap().len(), 3050);
}

#[test]
fn shards_with_other_columns_open_together() {
    let folder = tempdir().unwrap();
    let mut paths = Vec::new();
    for (shard, extension) in ["txt", "jpg"].into_iter().enumerate() {
        let mut tar = Tar::new(Dialect::Ustar);
        tar.file(format!("{shard}.{extension}").as_bytes(), b"value");
        let path = folder.path().join(format!("{shard}.tar"));
        std::fs::rename(tar.write(folder.path()), &path).unwrap();
        paths.push(path);
    }
    let options = ManifestOptions { index_dir: Some(folder.path().to_owned()), ..ManifestOptions::default() };
    for round in 0..2 {
        let manifest = Manifest::open(&paths, &options).unwrap();
        let names: Vec<&str> = manifest.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["__key__", "jpg", "txt"], "open {round}");
    }
}

/// What fills an archive, and what is then said of it.
type Refused<'a> = (&'a dyn Fn(&mut Tar), &'a str);

#[test]
fn what_cannot_be_read_is_named_with_a_remedy() {
    let sparse = |tar: &mut Tar| tar.member(b"holes.bin", b'S', &[0; 512]);
    let pax_sparse = |tar: &mut Tar| {
        tar.member(b"x", b'x', &record(b"GNU.sparse.major", b"1"));
        tar.member(b"holes.bin", b'0', b"x");
    };
    let global = |tar: &mut Tar| tar.member(b"g", b'g', &record(b"path", b"all.txt"));
    let twice = |tar: &mut Tar| {
        tar.file(b"a.txt", b"1");
        tar.file(b"a.TXT", b"2");
    };
    let taken = |tar: &mut Tar| tar.file(b"a.__key__", b"1");
    let pending = |tar: &mut Tar| tar.member(b"x", b'L', b"name.txt\0");
    let cut_record = |tar: &mut Tar| tar.member(b"x", b'x', b"99 path=a.txt\n");
    let no_size = |tar: &mut Tar| {
        let header = tar.header(b"a.txt", b'0', b"none");
        tar.push(&header, b"");
    };
    let too_large = |tar: &mut Tar| {
        let header =
            tar.header(b"a.txt", b'0', &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        tar.push(&header, b"");
    };
    let columns = |tar: &mut Tar| (0..1001).for_each(|at| tar.file(format!("{at}.{at}").as_bytes(), b""));
    let one_sample = |tar: &mut Tar| (0..1001).for_each(|at| tar.file(format!("k.{at}").as_bytes(), b""));
    let cases: [Refused<'_>; 11] = [
        (&sparse, "\"holes.bin\" is stored with holes"),
        (&pax_sparse, "\"holes.bin\" is stored with holes"),
        (&global, "a global header at byte 0 gives all members one name"),
        (&twice, "\"a\" has two values for \"TXT\""),
        (&taken, "\"a\" has two values for \"__key__\""),
        (&pending, "ends within a header"),
        (&cut_record, "a pax record that is cut or damaged"),
        (&no_size, "size is no number"),
        (&too_large, "truncated: a member of 18446744073709551615 bytes"),
        (&columns, "more than 1000 different extensions"),
        (&one_sample, "more than 1000 different extensions"),
    ];
    for (fill, text) in cases {
        let mut tar = Tar::new(Dialect::Ustar);
        fill(&mut tar);
        let error = read(&tar).unwrap_err();
        assert!(matches!(error, Error::CorruptShard { .. } | Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(text), "{error} lacks {text}");
    }
}

#[test]
fn an_archive_after_the_end_is_not_left_out_in_silence() {
    let folder = tempdir().unwrap();
    let mut tar = Tar::new(Dialect::Ustar);
    tar.file(b"a.txt", b"1");
    let path = write(folder.path(), &[&tar.bytes[..], &[0; 9216], &tar.bytes].concat());
    let text = read_all(&path, IoMode::Mmap).unwrap_err().to_string();
    assert!(text.contains("byte 1024") && text.contains("another header stands at byte"), "{text}");
    // Other leavings behind the end are nobody's samples.
    let path = write(folder.path(), &[&tar.bytes[..], &[0; 9216], &[9; 700]].concat());
    assert_eq!(read_all(&path, IoMode::Mmap).unwrap().len(), 1);
}

/// A file of holes costs no disk; only its headers are ever touched.
#[cfg(target_os = "linux")]
#[test]
fn values_far_apart_are_viewed_and_larger_ones_refused() {
    use std::io::{Seek, SeekFrom, Write};
    let folder = tempdir().unwrap();
    let tar = Tar::new(Dialect::Ustar);
    let path = folder.path().join("large.tar");
    let write_two = |size: u64| {
        let mut file = std::fs::File::create(&path).unwrap();
        for (name, at) in [("a.x", 0), ("a.y", 512 + size)] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&tar_cases::sealed(tar.header(name.as_bytes(), b'0', &octal(size)))).unwrap();
            file.write_all(name.as_bytes()).unwrap();
        }
        file.set_len(2 * (512 + size)).unwrap();
    };
    write_two(3 << 29);
    let (reader, found) = reader(&path, IoMode::Mmap, None).unwrap();
    let block = reader.decode(0, &found.blocks[0]).unwrap();
    assert_eq!((block.num_rows, found.blocks.len()), (1, 1));
    for (column, name) in [(1, "a.x"), (2, "a.y")] {
        block.source().ensure(0, 1).unwrap();
        let value = block.columns[column].as_binary_view().value(0);
        assert_eq!((value.len(), &value[..3]), (3 << 29, name.as_bytes()));
    }
    write_two(1 << 31);
    let error = index(&path).unwrap_err();
    assert!(error.to_string().contains("\"a.x\" has 2147483648 bytes; a value holds 2147483647"), "{error}");
}

#[test]
fn archives_without_an_end_or_without_members_are_read() {
    let folder = tempdir().unwrap();
    let mut tar = Tar::new(Dialect::Ustar);
    tar.file(b"a.txt", b"1");
    for bytes in [&tar.bytes[..], &tar.bytes[..513], &[&tar.bytes[..], &[0; 100]].concat()] {
        assert_eq!(read_all(&write(folder.path(), bytes), IoMode::Read).unwrap().len(), 1);
    }
    let path = write(folder.path(), &[0; 10_240]);
    assert_eq!(read_all(&path, IoMode::Mmap).unwrap(), []);
}

#[test]
fn packed_archives_say_why_they_are_not_read() {
    let folder = tempdir().unwrap();
    let gzip = folder.path().join("shard-0.tar.gz");
    std::fs::write(&gzip, b"\x1f\x8b\x08\0\0\0\0\0\0\0").unwrap();
    let zstd = folder.path().join("shard-0.tar.zst");
    std::fs::write(&zstd, b"\x28\xb5\x2f\xfd\0\0\0\0").unwrap();
    for (path, remedy) in [(gzip, "`gunzip`"), (zstd, "`zstd -d`")] {
        let error = index(&path).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        let text = error.to_string();
        assert!(text.contains("neither shuffled nor resumed") && text.contains(remedy), "{text}");
    }
}

#[test]
fn a_file_that_changed_since_it_was_indexed_is_damage() {
    let folder = tempdir().unwrap();
    let mut tar = Tar::new(Dialect::Ustar);
    tar.file(b"a.txt", b"one");
    tar.file(b"b.txt", b"two");
    let (_, found) = reader(&tar.write(folder.path()), IoMode::Read, None).unwrap();
    for names in [["a.txt", "a.jpg"], ["a.txt", "b.cls"], ["c", "d"]] {
        let mut other = Tar::new(Dialect::Ustar);
        for name in names {
            other.file(name.as_bytes(), b"new");
        }
        let path = other.write(folder.path());
        let source = rowmill_core::source::open(&path, IoMode::Read, None).unwrap();
        let reader = rowmill_core::shard::ShardReader::try_new(source, found.clone(), None).unwrap();
        let error = reader.decode(0, &found.blocks[0]).unwrap_err();
        assert!(error.to_string().contains("the file has changed"), "{error}");
    }
}

/// The rule in its plain form: names here have no corners.
fn grouped(members: &[(String, Vec<u8>)]) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for (name, value) in members {
        let file = name.rfind('/').map_or(0, |slash| slash + 1);
        let Some(dot) = name[file..].find('.').map(|dot| file + dot) else { continue };
        if samples.last().is_none_or(|(key, _)| *key != name[..dot]) {
            samples.push((name[..dot].to_owned(), BTreeMap::new()));
        }
        samples.last_mut().unwrap().1.insert(name[dot + 1..].to_lowercase(), value.clone());
    }
    samples
}

fn members() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = ("[a-cü/]{0,3}", "[a-cß ]{1,2}", proptest::option::of("[.][xyZ]{0,2}([.]gz)?"));
    let name = (name, 0..130_usize).prop_map(|((folder, key, extension), padding)| {
        let folder = folder.trim_start_matches('/').to_owned();
        let slash = if folder.is_empty() { "" } else { "/" };
        let long = if padding > 100 { "long/".repeat(padding / 5) } else { String::new() };
        format!("{long}{folder}{slash}{key}{}", extension.unwrap_or_default())
    });
    let value = proptest::collection::vec(any::<u8>(), 0..1300);
    proptest::collection::vec((name, value), 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_members_come_back_grouped(members in members(), dialect in 1..4_usize, mode in 0..3_usize) {
        let folder = tempdir().unwrap();
        let mut tar = Tar::new(DIALECTS[dialect]);
        for (name, value) in &members {
            tar.file(name.as_bytes(), value);
        }
        let wanted = grouped(&members);
        let found = read_all(&tar.write(folder.path()), MODES[mode]);
        let count: usize = wanted.iter().map(|(_, values)| values.len()).sum();
        if count < members.iter().filter(|(name, _)| name[name.rfind('/').unwrap_or(0)..].contains('.')).count() {
            // A name came twice in one sample.
            prop_assert!(found.unwrap_err().to_string().contains("two values"));
        } else {
            prop_assert_eq!(found.unwrap(), wanted);
        }
    }

    #[test]
    fn damage_anywhere_gives_samples_or_an_error(
        dialect in 0..4_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        reseal in any::<bool>(),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempdir().unwrap();
        let mut tar = Tar::new(DIALECTS[dialect]);
        for number in 0..6 {
            tar.file(format!("dir/{number}.txt").as_bytes(), &vec![number; 300]);
            tar.file(format!("dir/{number}.cls").as_bytes(), b"1");
        }
        let mut bytes = tar.bytes;
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if reseal {
                // Lies that a checksum does not find.
                let start = at / 512 * 512;
                let block: [u8; 512] = bytes[start..start + 512].try_into().unwrap();
                bytes[start..start + 512].copy_from_slice(&tar_cases::sealed(block));
            }
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        let path = write(folder.path(), &bytes);
        let first = read_all(&path, IoMode::Mmap);
        let second = read_all(&path, IoMode::Read);
        prop_assert_eq!(first.is_ok(), second.is_ok());
        match (first, second) {
            (Ok(first), Ok(second)) => prop_assert_eq!(first, second),
            (Err(error), _) => {
                let is_ours = matches!(error, Error::CorruptShard { .. } | Error::Unsupported { .. });
                prop_assert!(is_ours, "{:?}", error);
            }
            (Ok(_), Err(_)) => {}
        }
    }
}
