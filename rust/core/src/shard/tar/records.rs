//! What pax and GNU extensions say about the member after them: its name, its size, that it has holes.

use super::header::until_nul;

/// Extensions are names and a few records; a larger one is not read.
pub(super) const MAX_EXTENSION: u64 = 1 << 20;

/// What was said before a member's own header. Of two extensions the first holds, as in Python's tarfile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub is_sparse: bool,
}

impl Said {
    /// Takes in GNU's long name.
    pub fn long_name(&mut self, data: &[u8]) {
        self.name.get_or_insert_with(|| until_nul(data).to_vec());
    }

    /// Takes in pax records, each `length key=value` and a line end.
    pub fn pax(&mut self, data: &[u8]) -> Result<(), String> {
        for record in Records(data) {
            let (key, value) = record.map_err(ToOwned::to_owned)?;
            match key {
                b"path" => {
                    let end = value.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
                    self.name.get_or_insert_with(|| value[..end].to_vec());
                }
                b"size" => {
                    let size = decimal(value).ok_or("a pax size that is no number")?;
                    self.size.get_or_insert(size);
                }
                // The three ways in which GNU tar wrote files with holes.
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The pairs of a pax header.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        // Zeros after the last record are padding.
        if self.0.first().is_none_or(|byte| *byte == 0) {
            return None;
        }
        let record = split_record(self.0);
        self.0 = record.map_or(&[][..], |(_, rest)| rest);
        Some(record.map(|(pair, _)| pair).ok_or("a pax record that is cut or damaged"))
    }
}

/// A key and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The first record and what follows it.
fn split_record(data: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&data[..space])?).ok()?;
    let (body, end) = data.get(space + 1..len)?.split_last_chunk::<1>()?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (end == b"\n").then_some(((&body[..equals], &body[equals + 1..]), &data[len..]))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(data: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        said.pax(data).map(|()| said)
    }

    #[test]
    fn records_name_the_member_and_its_size() {
        let found = said(b"20 path=dir/a=b.txt\n12 size=123\n18 SCHILY.dev=1234\n\0\0").unwrap_err();
        assert!(found.contains("cut or damaged"), "the last length is wrong: {found}");
        let found = said(b"20 path=dir/a=b.txt\n12 size=123\n19 SCHILY.dev=1234\n\0\0").unwrap();
        assert_eq!(found.name.as_deref(), Some(&b"dir/a=b.txt"[..]));
        assert_eq!(found.size, Some(123));
        assert!(!found.is_sparse);
        assert!(said(b"22 GNU.sparse.major=1\n").unwrap().is_sparse);
    }

    #[test]
    fn damage_is_an_error_not_a_loop() {
        for bad in [
            &b"0 path=x\n"[..],
            b"7 path\n",
            b"99 path=x\n",
            b"path=x\n",
            b"9 path=xy",
            b"11 size=1x\n",
            b"1 ",
        ] {
            assert!(said(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(said(b"99999999999999999999 path=x\n").is_err());
        assert_eq!(said(b"").unwrap(), Said::default());
    }

    #[test]
    fn the_first_of_two_names_holds() {
        let mut said = Said::default();
        said.long_name(b"first.txt\0junk");
        said.pax(b"19 path=second.txt\n").unwrap();
        assert_eq!(said.name.as_deref(), Some(&b"first.txt"[..]));
    }
}
