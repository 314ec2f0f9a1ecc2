//! The inverse: from packed columns back to documents.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};

/// Consecutive places of a packed sequence that hold one document's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The document's row id.
    pub row_id: u64,
    /// The places.
    pub places: Range<usize>,
}

/// The documents' stretches in a sequence, or in several laid end to end; padding is left out.
///
/// Without `cu_seqlens` a document that follows itself (a lane of one row, from epoch to epoch) looks like one.
pub fn stretches(document_ids: &[i64], cu_seqlens: Option<&[i32]>) -> Result<Vec<Stretch>> {
    let Some(cuts) = cu_seqlens else {
        return Ok(runs(document_ids, 0).collect());
    };
    let mut found = Vec::new();
    let mut start = 0;
    for cut in cuts.iter().skip_while(|cut| **cut == 0) {
        let end = usize::try_from(*cut).ok().filter(|end| (start..=document_ids.len()).contains(end));
        let end = end.ok_or_else(|| bad_cut(*cut, start, document_ids.len()))?;
        let mut inside = runs(&document_ids[start..end], start);
        found.extend(inside.next());
        if let Some(second) = inside.next() {
            return Err(uncut(second.places.start));
        }
        start = end;
    }
    match runs(&document_ids[start..], start).next() {
        Some(uncovered) => Err(uncut(uncovered.places.start)),
        None => Ok(found),
    }
}

/// Runs of one row id; `start` is where the first of these ids stands.
fn runs(document_ids: &[i64], start: usize) -> impl Iterator<Item = Stretch> {
    document_ids
        .chunk_by(|before, after| before == after)
        .scan(start, |start, run| {
            let places = *start..*start + run.len();
            *start = places.end;
            Some((run[0], places))
        })
        .filter_map(|(id, places)| Some(Stretch { row_id: u64::try_from(id).ok()?, places }))
}

fn bad_cut(cut: i32, start: usize, len: usize) -> Error {
    Error::InvalidArgument(format!(
        "cu_seqlens must grow from 0 to at most the {len} places of document_ids; {cut} follows {start}"
    ))
}

fn uncut(place: usize) -> Error {
    Error::InvalidArgument(format!(
        "document_ids change at place {place} where cu_seqlens has no cut; both must be of the same sequence"
    ))
}

/// Documents put together again from the packed sequences of one epoch, whatever lanes these are from.
#[derive(Debug, Clone)]
pub struct Unpacker<T> {
    documents: Vec<(u64, Vec<T>)>,
    index_of: HashMap<u64, usize>,
}

impl<T> Default for Unpacker<T> {
    fn default() -> Self {
        Self { documents: Vec::new(), index_of: HashMap::new() }
    }
}

impl<T: Copy> Unpacker<T> {
    /// The next sequence, or several laid end to end; those of a lane must come in its order.
    pub fn push(&mut self, input_ids: &[T], document_ids: &[i64], cu_seqlens: Option<&[i32]>) -> Result<()> {
        if input_ids.len() != document_ids.len() {
            return Err(Error::InvalidArgument(format!(
                "input_ids and document_ids must be of the same length, not {} and {}",
                input_ids.len(),
                document_ids.len()
            )));
        }
        for stretch in stretches(document_ids, cu_seqlens)? {
            let index = *self.index_of.entry(stretch.row_id).or_insert(self.documents.len());
            if index == self.documents.len() {
                self.documents.push((stretch.row_id, Vec::new()));
            }
            self.documents[index].1.extend_from_slice(&input_ids[stretch.places]);
        }
        Ok(())
    }

    /// Row ids and tokens, in the order in which the documents were first met; empty documents leave no trace.
    pub fn finish(self) -> Vec<(u64, Vec<T>)> {
        self.documents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document_ids: &[i64], cuts: Option<&[i32]>) -> Vec<(u64, Range<usize>)> {
        let stretches = stretches(document_ids, cuts).unwrap();
        stretches.into_iter().map(|stretch| (stretch.row_id, stretch.places)).collect()
    }

    #[test]
    fn stretches_are_runs_of_row_ids_and_leave_padding_out() {
        assert_eq!(found(&[5, 5, 2, -1, -1, 2], None), [(5, 0..2), (2, 2..3), (2, 5..6)]);
        assert_eq!(found(&[5, 5, 2, -1], Some(&[0, 2, 3])), [(5, 0..2), (2, 2..3)]);
        assert_eq!(found(&[5, 5, 2, -1], Some(&[0, 2, 3, 4])), [(5, 0..2), (2, 2..3)]);
        assert!(found(&[], Some(&[0])).is_empty() && found(&[-1], None).is_empty());
    }

    #[test]
    fn only_cuts_tell_a_row_from_itself() {
        assert_eq!(found(&[5, 5, 5], None), [(5, 0..3)]);
        assert_eq!(found(&[5, 5, 5], Some(&[0, 1, 3])), [(5, 0..1), (5, 1..3)]);
    }

    #[test]
    fn cuts_of_another_sequence_are_refused() {
        for (cuts, message) in [
            (
                &[0, 2, 1][..],
                "cu_seqlens must grow from 0 to at most the 3 places of document_ids; 1 follows 2",
            ),
            (&[0, 4], "cu_seqlens must grow from 0 to at most the 3 places of document_ids; 4 follows 0"),
            (&[0, -1], "cu_seqlens must grow from 0 to at most the 3 places of document_ids; -1 follows 0"),
            (
                &[0, 3],
                "document_ids change at place 2 where cu_seqlens has no cut; both must be of the same sequence",
            ),
            (
                &[0, 2],
                "document_ids change at place 2 where cu_seqlens has no cut; both must be of the same sequence",
            ),
        ] {
            assert_eq!(stretches(&[5, 5, 2], Some(cuts)).unwrap_err().to_string(), message);
        }
    }
}
