//! When a mix of finite sources ends, and how often each has begun again by then.

use std::fmt;
use std::str::FromStr;

use super::draws::LaneRows;
use super::schedule::Schedule;
use crate::error::{Error, Result};

/// What happens when a lane of a source has no sample left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stopping {
    /// The mix ends before the first sample that is no longer there.
    FirstExhausted,
    /// Sources begin again, and the mix ends as soon as each has been seen whole.
    AllExhausted,
    /// Sources begin again, and the mix has no end.
    Repeat,
}

impl fmt::Display for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstExhausted => "first_exhausted",
            Self::AllExhausted => "all_exhausted",
            Self::Repeat => "repeat",
        })
    }
}

impl FromStr for Stopping {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "first_exhausted" => Ok(Self::FirstExhausted),
            "all_exhausted" => Ok(Self::AllExhausted),
            "repeat" => Ok(Self::Repeat),
            other => Err(Error::InvalidArgument(format!(
                "stopping {other:?} is not known; use \"first_exhausted\", \"all_exhausted\" or \"repeat\""
            ))),
        }
    }
}

impl Schedule {
    /// The number of samples after which the mix ends, for sources whose lanes have these lengths; `None` where
    /// it never does.
    ///
    /// Every rank computes the same number, so none waits for another at the end.
    pub fn end(&self, sources: &[LaneRows], stopping: Stopping) -> Result<Option<u64>> {
        self.check_sources(sources, stopping)?;
        let ends = self.lanes_of(sources);
        Ok(match stopping {
            Stopping::Repeat => None,
            Stopping::FirstExhausted => {
                ends.filter_map(|(source, lane, len)| self.lane_position_of(source, lane, len)).min()
            }
            Stopping::AllExhausted => {
                let seen_whole = ends.filter(|(source, ..)| self.position_of(*source, 0).is_some()).map(
                    |(source, lane, len)| Some(self.lane_position_of(source, lane, len.checked_sub(1)?)? + 1),
                );
                seen_whole.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max())
            }
        })
    }

    /// How often a source of so many rows has been gone through before a position.
    pub fn epochs_before(&self, source: usize, num_rows: u64, position: u64) -> f64 {
        self.count_before(source, position) as f64 / num_rows.max(1) as f64
    }

    fn lanes_of<'a>(&self, sources: &'a [LaneRows]) -> impl Iterator<Item = (usize, u32, u64)> + use<'a> {
        let num_lanes = self.num_lanes();
        let lanes = move |rows: &'a LaneRows| (0..num_lanes).map(move |lane| (lane, rows.len(lane)));
        let sources = sources.iter().enumerate();
        sources.flat_map(move |(source, rows)| lanes(rows).map(move |(lane, len)| (source, lane, len)))
    }

    /// The position of a lane's sample with this index of a source.
    fn lane_position_of(&self, source: usize, lane: u32, index: u64) -> Option<u64> {
        let element = self.lane_element_of(source, lane, index)?;
        element.checked_mul(u64::from(self.num_lanes()))?.checked_add(u64::from(lane))
    }

    fn check_sources(&self, sources: &[LaneRows], stopping: Stopping) -> Result<()> {
        if sources.len() != self.num_sources() {
            return Err(Error::InvalidArgument(format!(
                "the schedule has {} sources, not {}",
                self.num_sources(),
                sources.len()
            )));
        }
        if let Some(rows) = sources.iter().find(|rows| rows.num_lanes() != self.num_lanes()) {
            return Err(Error::Topology(format!(
                "a source has {} lanes and the mix {}; give all sources the same num_lanes",
                rows.num_lanes(),
                self.num_lanes()
            )));
        }
        let is_short =
            |&source: &usize| sources[source].has_empty_lane() && self.position_of(source, 0).is_some();
        match (0..sources.len()).find(is_short) {
            Some(source) if stopping != Stopping::FirstExhausted => Err(Error::Topology(format!(
                "source {source} of the mix has fewer rows than the mix has lanes ({}), so some lanes of it are \
                 empty and cannot begin again; use fewer lanes, or stopping=\"first_exhausted\"",
                self.num_lanes()
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the mix until a lane of a source is empty, or until all have been gone through.
    fn walk(schedule: &Schedule, sources: &[LaneRows], stopping: Stopping) -> u64 {
        let num_lanes = u64::from(schedule.num_lanes());
        let mut given = vec![0; sources.len() * num_lanes as usize];
        let slot = |source: usize, lane: u64| source * num_lanes as usize + lane as usize;
        for position in 0.. {
            let (lane, source) = (position % num_lanes, schedule.source_of(position));
            let is_whole = |source: usize| {
                (0..num_lanes).all(|lane| given[slot(source, lane)] >= sources[source].len(lane as u32))
            };
            let ends = match stopping {
                Stopping::FirstExhausted => given[slot(source, lane)] >= sources[source].len(lane as u32),
                _ => (0..sources.len())
                    .all(|source| is_whole(source) || schedule.position_of(source, 0).is_none()),
            };
            if ends {
                return position;
            }
            given[slot(source, lane)] += 1;
        }
        unreachable!()
    }

    #[test]
    fn the_end_is_where_a_walk_ends() {
        for (rows, num_lanes) in
            [([1_000, 200, 77], 4), ([64, 3_000, 65], 64), ([40, 41, 42], 7), ([9, 1, 1], 1)]
        {
            let sources = rows.map(|rows| LaneRows::new(num_lanes, 0..rows));
            for weights in [[0.8, 0.2, 0.1], [1.0, 1.0, 1.0], [0.5, 0.5, 0.0]] {
                let schedule = Schedule::try_new(&weights, num_lanes, 3).unwrap();
                for stopping in [Stopping::FirstExhausted, Stopping::AllExhausted] {
                    let end = schedule.end(&sources, stopping).unwrap();
                    assert_eq!(
                        end,
                        Some(walk(&schedule, &sources, stopping)),
                        "{rows:?} {weights:?} {stopping}"
                    );
                }
                assert_eq!(schedule.end(&sources, Stopping::Repeat).unwrap(), None);
            }
        }
    }

    #[test]
    fn sources_smaller_than_the_lanes_cannot_begin_again() {
        let schedule = Schedule::try_new(&[1.0, 1.0], 8, 0).unwrap();
        let sources = [LaneRows::new(8, 0..100), LaneRows::new(8, 0..7)];
        let error = schedule.end(&sources, Stopping::Repeat).unwrap_err().to_string();
        assert!(error.contains("source 1") && error.contains("lanes (8)"), "{error}");
        assert!(schedule.end(&sources, Stopping::FirstExhausted).unwrap().is_some());
        assert!(schedule.end(&sources[..1], Stopping::Repeat).is_err());
        assert!(
            schedule.end(&[LaneRows::new(8, 0..100), LaneRows::new(4, 0..100)], Stopping::Repeat).is_err()
        );
    }

    #[test]
    fn a_rule_reads_back_its_own_name() {
        for stopping in [Stopping::FirstExhausted, Stopping::AllExhausted, Stopping::Repeat] {
            assert_eq!(stopping.to_string().parse::<Stopping>().unwrap(), stopping);
        }
        assert!("never".parse::<Stopping>().unwrap_err().to_string().contains("\"never\""));
    }
}
