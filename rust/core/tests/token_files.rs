//! Token files of other trainers: indexed and decoded in every way of reading, their claims checked first.

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use rowmill_core::Error;
use rowmill_core::shard::{Format, ShardReader, index, index_bare_tokens};
use rowmill_core::source::{IoMode, open};
use tempfile::tempdir;

const MODES: [IoMode; 3] = [IoMode::Mmap, IoMode::Read, IoMode::Direct];

/// Writes a pair by Megatron's layout: documents of one sequence each.
fn megatron(folder: &Path, documents: &[Vec<u16>]) -> PathBuf {
    let mut head = b"MMIDIDX\0\0".to_vec();
    head.extend(1_u64.to_le_bytes());
    head.push(8);
    head.extend((documents.len() as u64).to_le_bytes());
    head.extend((documents.len() as u64 + 1).to_le_bytes());
    head.extend(documents.iter().flat_map(|ids| (ids.len() as i32).to_le_bytes()));
    let mut place = 0_i64;
    for ids in documents {
        head.extend(place.to_le_bytes());
        place += 2 * ids.len() as i64;
    }
    head.extend((0..=documents.len() as i64).flat_map(i64::to_le_bytes));
    let path = folder.join("ids.bin");
    std::fs::write(folder.join("ids.idx"), head).unwrap();
    std::fs::write(&path, stream(documents)).unwrap();
    path
}

fn stream(documents: &[Vec<u16>]) -> Vec<u8> {
    documents.iter().flatten().flat_map(|id| id.to_le_bytes()).collect()
}

fn documents() -> Vec<Vec<u16>> {
    (0..2500_u16)
        .map(|row| (0..row % 700).map(|at| row.wrapping_mul(31).wrapping_add(at)).collect())
        .collect()
}

fn read(path: &Path, mode: IoMode, is_bare: bool) -> Result<Vec<Vec<u16>>, Error> {
    let found = if is_bare { index_bare_tokens(path)? } else { index(path)? };
    let reader = ShardReader::try_new(open(path, mode, None)?, found.clone(), None)?;
    let mut rows = Vec::new();
    for (at, block) in (0..).zip(&found.blocks) {
        let decoded = reader.decode(at, block)?;
        decoded.ensure_all()?;
        let lists = decoded.columns[0].as_list::<i32>();
        assert_eq!(lists.values().as_primitive::<UInt16Type>().values().len() as u64 * 2, block.body_len);
        rows.extend(lists.iter().map(|ids| ids.unwrap().as_primitive::<UInt16Type>().values().to_vec()));
    }
    Ok(rows)
}

#[test]
fn documents_come_back_in_every_way_of_reading() {
    let folder = tempdir().unwrap();
    let documents = documents();
    let path = megatron(folder.path(), &documents);
    let found = index(&path).unwrap();
    assert_eq!((found.format, found.num_rows()), (Format::Megatron, 2500));
    assert!(found.blocks.len() > 1);
    for mode in MODES {
        assert_eq!(read(&path, mode, false).unwrap(), documents, "{mode:?}");
    }
}

#[test]
fn pieces_of_a_stream_are_the_stream() {
    let folder = tempdir().unwrap();
    let (flat, path) = (documents().concat(), folder.path().join("train.bin"));
    std::fs::write(&path, stream(&documents())).unwrap();
    assert!(index(&path).unwrap_err().to_string().contains("format=\"nanogpt\""));
    for mode in MODES {
        let rows = read(&path, mode, true).unwrap();
        assert!(rows.iter().rev().skip(1).all(|row| row.len() == 2048));
        assert_eq!(rows.concat(), flat, "{mode:?}");
    }
    let mut header = [20_240_520_i32, 1, flat.len() as i32].map(i32::to_le_bytes).concat();
    header.resize(1024, 0);
    std::fs::write(&path, [header, stream(&documents())].concat()).unwrap();
    assert_eq!(index(&path).unwrap().format, Format::LlmC);
    assert_eq!(read(&path, IoMode::Mmap, false).unwrap().concat(), flat);
}

#[test]
fn every_cut_is_a_typed_error() {
    let folder = tempdir().unwrap();
    let path = megatron(folder.path(), &documents()[..40]);
    let beside = path.with_extension("idx");
    let whole = std::fs::read(&beside).unwrap();
    for len in (9..whole.len()).step_by(7) {
        std::fs::write(&beside, &whole[..len]).unwrap();
        let error = index(&path).unwrap_err();
        assert!(matches!(error, Error::CorruptShard { .. } | Error::Unsupported { .. }), "{error}");
    }
    std::fs::write(&beside, whole).unwrap();
    std::fs::write(&path, [1, 2, 3]).unwrap();
    assert!(matches!(index(&path), Err(Error::CorruptShard { .. })));
}
