//! How much each source is due after so many samples: piecewise linear, in exact fractions.

/// What is due to each source, in `1 / whole` of a sample.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    pub(super) whole: u64,
    pieces: Vec<Piece>,
}

/// From `start` on, `due + rate * (t - start)`.
#[derive(Clone, Debug)]
struct Piece {
    start: u64,
    due: Vec<u64>,
    rate: Vec<u64>,
}

impl Timeline {
    /// `due` at the beginning and `rate` for ever; the rates add up to `whole`.
    pub(super) fn new(whole: u64, due: Vec<u64>, rate: Vec<u64>) -> Self {
        Self { whole, pieces: vec![Piece { start: 0, due, rate }] }
    }

    /// Changes the rates from `start` on, which lies behind all changes so far.
    pub(super) fn change(&mut self, start: u64, rate: Vec<u64>) {
        let due = (0..rate.len()).map(|source| self.due(source, start)).collect();
        self.pieces.retain(|piece| piece.start < start);
        self.pieces.push(Piece { start, due, rate });
    }

    /// What is due after `time` samples.
    pub(super) fn due(&self, source: usize, time: u64) -> u64 {
        let piece = self.piece(time);
        piece.due[source] + piece.rate[source] * (time - piece.start)
    }

    /// What becomes due with the sample at `time`.
    pub(super) fn rates(&self, time: u64) -> &[u64] {
        &self.piece(time).rate
    }

    /// The first time at which at least `amount` is due; `None` where it never is.
    pub(super) fn reaches(&self, source: usize, amount: u64) -> Option<u64> {
        let below = self.pieces.partition_point(|piece| piece.due[source] < amount);
        let Some(piece) = self.pieces[..below].last() else { return Some(0) };
        let rate = piece.rate[source];
        // A piece that grows too slowly is followed by one that begins with more, or by none.
        (rate > 0).then(|| piece.start + (amount - piece.due[source]).div_ceil(rate))
    }

    fn piece(&self, time: u64) -> &Piece {
        let after = self.pieces.partition_point(|piece| piece.start <= time);
        &self.pieces[after.max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_reached_when_it_is_said_to_be() {
        let mut timeline = Timeline::new(10, vec![3, 0], vec![7, 3]);
        timeline.change(4, vec![0, 10]);
        timeline.change(9, vec![5, 5]);
        for source in 0..2 {
            for amount in 0..200 {
                let time = timeline.reaches(source, amount).unwrap();
                assert!(timeline.due(source, time) >= amount);
                assert!(time == 0 || timeline.due(source, time - 1) < amount);
            }
        }
        assert_eq!((timeline.due(0, 4), timeline.due(0, 9), timeline.due(0, 11)), (31, 31, 41));
        assert_eq!(Timeline::new(1, vec![0, 0], vec![1, 0]).reaches(1, 1), None);
        assert_eq!((timeline.rates(3), timeline.rates(4)), (&[7, 3][..], &[0, 10][..]));
    }
}
