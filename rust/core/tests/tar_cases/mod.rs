//! Writes tars in every dialect, and reads them through the door that the loader uses.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use rowmill_core::Result;
use rowmill_core::shard::{Block, ShardIndex, ShardReader, index};
use rowmill_core::source::{IoMode, open};

/// Who wrote an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Before POSIX: no magic, names of 100 bytes.
    V7,
    /// A prefix for long names.
    Ustar,
    /// A member of its own for long names, base 256 for large numbers.
    Gnu,
    /// Records before each member.
    Pax,
}

pub const DIALECTS: [Dialect; 4] = [Dialect::V7, Dialect::Ustar, Dialect::Gnu, Dialect::Pax];

/// The bytes of an archive that grows.
pub struct Tar {
    pub bytes: Vec<u8>,
    dialect: Dialect,
}

impl Tar {
    pub fn new(dialect: Dialect) -> Self {
        Self { bytes: Vec::new(), dialect }
    }

    pub fn file(&mut self, name: &[u8], data: &[u8]) {
        match self.dialect {
            Dialect::Ustar if name.len() > 100 => {
                let slash = name.iter().rposition(|byte| *byte == b'/').unwrap();
                let mut header = self.header(&name[slash + 1..], b'0', &octal(data.len() as u64));
                header[345..345 + slash].copy_from_slice(&name[..slash]);
                self.push(&header, data);
            }
            Dialect::Gnu => {
                if name.len() > 100 {
                    self.member(b"././@LongLink", b'L', &[name, b"\0"].concat());
                }
                let mut size = [0_u8; 12];
                size[0] = 0x80;
                size[4..].copy_from_slice(&(data.len() as u64).to_be_bytes());
                let header = self.header(&name[..name.len().min(100)], b'0', &size);
                self.push(&header, data);
            }
            Dialect::Pax => {
                let records =
                    [record(b"path", name), record(b"size", data.len().to_string().as_bytes())].concat();
                self.member(b"PaxHeaders/x", b'x', &records);
                let header = self.header(b"cut", b'0', &octal(0));
                self.push(&header, data);
            }
            Dialect::V7 | Dialect::Ustar => self.member(name, b'0', data),
        }
    }

    /// A member of any type.
    pub fn member(&mut self, name: &[u8], flag: u8, data: &[u8]) {
        let header = self.header(name, flag, &octal(data.len() as u64));
        self.push(&header, data);
    }

    pub fn header(&self, name: &[u8], flag: u8, size: &[u8]) -> [u8; 512] {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name);
        header[124..124 + size.len()].copy_from_slice(size);
        header[156] = if self.dialect == Dialect::V7 && flag == b'0' { 0 } else { flag };
        match self.dialect {
            Dialect::V7 => {}
            Dialect::Gnu => header[257..265].copy_from_slice(b"ustar  \0"),
            Dialect::Ustar | Dialect::Pax => header[257..265].copy_from_slice(b"ustar\x0000"),
        }
        header
    }

    pub fn push(&mut self, header: &[u8; 512], data: &[u8]) {
        self.bytes.extend(sealed(*header));
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    /// The archive with its end, written to a file.
    pub fn write(&self, folder: &Path) -> PathBuf {
        write(folder, &[&self.bytes[..], &[0; 1024]].concat())
    }
}

pub fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("a.tar");
    std::fs::write(&path, bytes).unwrap();
    path
}

pub fn octal(number: u64) -> [u8; 12] {
    format!("{number:011o}\0").into_bytes().try_into().unwrap()
}

/// A pax record, whose length counts itself.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..20).find(|digits| (rest + digits).to_string().len() == *digits).unwrap() + rest;
    [format!("{len} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

pub fn sealed(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Key, and the values that are there by their columns.
pub type Sample = (String, BTreeMap<String, Vec<u8>>);

pub fn reader(
    path: &Path,
    mode: IoMode,
    projection: Option<Vec<usize>>,
) -> Result<(ShardReader, ShardIndex)> {
    let found = index(path)?;
    Ok((ShardReader::try_new(open(path, mode, None)?, found.clone(), projection)?, found))
}

pub fn read_all(path: &Path, mode: IoMode) -> Result<Vec<Sample>> {
    let (reader, found) = reader(path, mode, None)?;
    let names: Vec<&str> = found.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut samples = Vec::new();
    for (at, meta) in found.blocks.iter().enumerate() {
        let block = reader.decode(at as u64, meta)?;
        block.ensure_all()?;
        assert_eq!(block.num_rows as u64, meta.num_rows);
        samples.extend((0..block.num_rows).map(|row| sample(&block, &names, row)));
    }
    Ok(samples)
}

fn sample(block: &Block, names: &[&str], row: usize) -> Sample {
    let key = block.columns[0].as_binary::<i32>().value(row);
    let mut values = BTreeMap::new();
    for (column, name) in block.columns.iter().zip(names).skip(1) {
        if column.is_valid(row) {
            values.insert((*name).to_owned(), column.as_binary_view().value(row).to_vec());
        }
    }
    (String::from_utf8(key.to_vec()).unwrap(), values)
}
