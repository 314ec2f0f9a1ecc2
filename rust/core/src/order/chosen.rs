//! Row ids in the order in which somebody chose them: as runs where they are few, else one by one.

use std::ops::Range;

/// Runs are kept until single rows would take less memory; so many are always kept.
const MIN_RUNS: usize = 1024;

/// Row ids out of `0..of`, each checked when it is added; a place is an index into them.
///
/// ```
/// use rowmill_core::order::Chosen;
///
/// let mut chosen = Chosen::new(10);
/// chosen.push_run(4..7)?;
/// chosen.push_run(0..1)?;
/// assert_eq!((chosen.len(), chosen.get(2), chosen.get(3)), (4, 6, 0));
/// assert_eq!(chosen.push_run(9..11), Err(10));
/// # Ok::<(), u64>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chosen {
    of: u64,
    len: u64,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    /// Maximal runs of consecutive rows.
    Runs(Vec<Run>),
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// From this place on the rows follow each other, beginning with this one.
#[derive(Clone, Copy, Debug)]
struct Run {
    place: u64,
    row: u64,
}

impl Chosen {
    /// None yet of `of` rows.
    pub fn new(of: u64) -> Self {
        Self { of, len: 0, rows: Rows::Runs(Vec::new()) }
    }

    /// Adds consecutive rows; the error is the first that is not there.
    pub fn push_run(&mut self, run: Range<u64>) -> Result<(), u64> {
        if run.end > self.of {
            return Err(run.start.max(self.of));
        }
        if run.is_empty() {
            return Ok(());
        }
        self.expand_where_smaller();
        match &mut self.rows {
            Rows::Runs(runs) => {
                let goes_on = runs.last().is_some_and(|last| last.row + (self.len - last.place) == run.start);
                if !goes_on {
                    runs.push(Run { place: self.len, row: run.start });
                }
            }
            // `of` fits into 32 bits where rows are narrow.
            Rows::Narrow(rows) => rows.extend(run.clone().map(|row| row as u32)),
            Rows::Wide(rows) => rows.extend(run.clone()),
        }
        self.len += run.end - run.start;
        Ok(())
    }

    fn expand_where_smaller(&mut self) {
        let Rows::Runs(runs) = &self.rows else { return };
        let is_narrow = u32::try_from(self.of).is_ok();
        let row_bytes = if is_narrow { size_of::<u32>() } else { size_of::<u64>() };
        if runs.len() < MIN_RUNS || runs.len() * size_of::<Run>() <= self.len as usize * row_bytes {
            return;
        }
        let rows = self.runs().flatten();
        self.rows = if is_narrow {
            Rows::Narrow(rows.map(|row| row as u32).collect())
        } else {
            Rows::Wide(rows.collect())
        };
    }

    /// How many rows were chosen; a row may come more than once.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether these are all rows in their own order.
    pub fn is_all(&self) -> bool {
        self.len == self.of && self.runs().all(|run| run == (0..self.of))
    }

    /// The row id at a place, which must be less than the length.
    #[inline]
    pub fn get(&self, place: u64) -> u64 {
        match &self.rows {
            Rows::Narrow(rows) => u64::from(rows[place as usize]),
            Rows::Wide(rows) => rows[place as usize],
            Rows::Runs(runs) => {
                assert!(place < self.len, "place {place} is not one of {}", self.len);
                let run = runs[runs.partition_point(|run| run.place <= place) - 1];
                run.row + (place - run.place)
            }
        }
    }

    /// The maximal runs of consecutive rows, in order: the same for the same rows, however they were added.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut place = 0;
        std::iter::from_fn(move || {
            let start = place;
            (start < self.len).then(|| {
                let row = self.get(start);
                place = self.end_of_run(start, row);
                row..row + (place - start)
            })
        })
    }

    /// The place after a run that begins at `start` with `row`.
    fn end_of_run(&self, start: u64, row: u64) -> u64 {
        let follows = |place: &u64| self.get(*place) == row + (*place - start);
        match &self.rows {
            Rows::Runs(runs) => {
                runs.get(runs.partition_point(|run| run.place <= start)).map_or(self.len, |next| next.place)
            }
            _ => (start + 1..self.len).find(|place| !follows(place)).unwrap_or(self.len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(of: u64, rows: &[u64]) -> Chosen {
        let mut chosen = Chosen::new(of);
        for row in rows {
            chosen.push_run(*row..row + 1).unwrap();
        }
        chosen
    }

    #[test]
    fn rows_come_back_as_they_were_chosen() {
        let scattered: Vec<u64> = (0..5000).map(|row| row * 7919 % 5000).collect();
        let increasing: Vec<u64> = (0..5000).filter(|row| row % 100 != 7).collect();
        for (of, rows) in [(5000, &scattered), (1 << 40, &scattered), (5000, &increasing), (9, &vec![])] {
            let chosen = chosen(of, rows);
            assert_eq!(chosen.len(), rows.len() as u64);
            let places: Vec<u64> = (0..chosen.len()).map(|place| chosen.get(place)).collect();
            assert_eq!(places, *rows);
            assert_eq!(chosen.runs().flatten().collect::<Vec<_>>(), *rows);
            assert!(chosen.runs().zip(chosen.runs().skip(1)).all(|(one, next)| one.end != next.start));
        }
    }

    #[test]
    fn few_runs_stay_runs() {
        assert!(
            matches!(chosen(1 << 40, &(0..5000).collect::<Vec<_>>()).rows, Rows::Runs(runs) if runs.len() == 1)
        );
        let scattered: Vec<u64> = (0..5000).rev().collect();
        assert!(matches!(chosen(5000, &scattered).rows, Rows::Narrow(_)));
        assert!(matches!(chosen(1 << 40, &scattered).rows, Rows::Wide(_)));
    }

    #[test]
    fn all_rows_in_order_are_all() {
        assert!(chosen(3, &[0, 1, 2]).is_all() && chosen(0, &[]).is_all());
        assert!(
            !chosen(3, &[0, 2, 1]).is_all()
                && !chosen(4, &[0, 1, 2]).is_all()
                && !chosen(2, &[1, 1]).is_all()
        );
    }

    #[test]
    fn a_row_that_is_not_there_is_named() {
        let mut chosen = Chosen::new(4);
        assert_eq!(chosen.push_run(2..6), Err(4));
        assert_eq!(chosen.push_run(7..8), Err(7));
        assert_eq!(chosen.push_run(u64::MAX - 1..u64::MAX), Err(u64::MAX - 1));
        assert_eq!(chosen.push_run(4..4), Ok(()));
        assert!(chosen.is_empty());
    }
}
