//! Natural order of file names: `shard-2` comes before `shard-10`.

use std::cmp::Ordering;
use std::path::Path;

/// Compares two paths folder by folder, runs of digits by their value.
///
/// Equal values with different leading zeros fall back to the bytes, so that the order is total.
pub fn compare(left: &Path, right: &Path) -> Ordering {
    let (a, b) = (left.as_os_str().as_encoded_bytes(), right.as_os_str().as_encoded_bytes());
    compare_bytes(a, b).then_with(|| a.cmp(b))
}

/// Sorts paths in natural order.
pub fn sort<P: AsRef<Path>>(paths: &mut [P]) {
    paths.sort_by(|a, b| compare(a.as_ref(), b.as_ref()));
}

fn compare_bytes(a: &[u8], b: &[u8]) -> Ordering {
    // Names of one folder share most of their bytes: skip those, back to the start of a number.
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let number = a[..same].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (mut a, mut b) = (&a[same - number..], &b[same - number..]);
    loop {
        let (Some(&x), Some(&y)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, rest_a) = split_number(a);
            let (number_b, rest_b) = split_number(b);
            let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (rest_a, rest_b);
            continue;
        }
        if x != y {
            return rank(x).cmp(&rank(y));
        }
        (a, b) = (&a[1..], &b[1..]);
    }
}

/// The digits without leading zeros, and what follows them.
fn split_number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    let zeros = bytes[..end].iter().take_while(|&&b| b == b'0').count();
    (&bytes[zeros..end], &bytes[end..])
}

/// Separators come first, so that a folder's files stay together.
fn rank(byte: u8) -> u16 {
    if byte == b'/' || (cfg!(windows) && byte == b'\\') { 0 } else { u16::from(byte) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_a_person_would() {
        let sorted: &[&[&str]] = &[
            &["shard-2", "shard-10"],
            &["a/shard-9.arrow", "a/shard-10.arrow", "a-b/shard-1.arrow"],
            &["x-00000-of-00010", "x-00009-of-00010", "x-00010-of-00010"],
            &["x", "x1", "x1a", "x1b", "x2"],
            &["x-01", "x-1", "x-2", "x-002a"],
            &["part-1-2.arrow", "part-1-10.arrow", "part-2-1.arrow"],
            &["v99999999999999999999999998", "v99999999999999999999999999", "v100000000000000000000000000"],
            &["0", "00a", "1"],
        ];
        for &names in sorted {
            let mut shuffled: Vec<&str> = names.to_vec();
            shuffled.reverse();
            sort(&mut shuffled);
            assert_eq!(shuffled, names);
        }
    }

    #[test]
    fn only_equal_paths_compare_equal() {
        for (a, b) in [("x01", "x1"), ("x001", "x01"), ("a0b1", "a00b1")] {
            assert_ne!(compare(Path::new(a), Path::new(b)), Ordering::Equal, "{a} {b}");
            assert_eq!(compare(Path::new(a), Path::new(b)), compare(Path::new(b), Path::new(a)).reverse());
        }
    }
}
