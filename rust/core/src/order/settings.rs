//! What a user chooses of an order, and the names of it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// More lanes than any job has ranks, and few enough that one window a lane is still small.
const MAX_LANES: u32 = 1 << 16;

/// How far rows travel from their place in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Storage order.
    None,
    /// Shards permuted, rows in storage order inside each.
    Shard,
    /// Blocks permuted, consecutive ones grouped into windows, rows permuted inside each window.
    Window,
    /// One permutation over all rows.
    Row,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Shard => "shard",
            Self::Window => "window",
            Self::Row => "row",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "shard" => Ok(Self::Shard),
            "window" => Ok(Self::Window),
            "row" => Ok(Self::Row),
            other => Err(Error::InvalidArgument(format!(
                "mode {other:?} is not known; use \"window\", \"shard\", \"row\" or \"none\""
            ))),
        }
    }
}

/// Everything that decides an order besides the data and the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSettings {
    /// How rows are shuffled.
    pub mode: Mode,
    /// The user's seed.
    pub seed: u64,
    /// Into how many lanes the sequence is cut.
    pub num_lanes: u32,
    /// Bytes of blocks that one window holds, in `window` mode; more than 4 GiB counts as 4 GiB.
    pub window_bytes: u64,
    /// Whether each epoch has an order of its own; if not, all have that of epoch 0.
    pub reshuffle_each_epoch: bool,
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Window,
            seed: 0,
            num_lanes: 64,
            // One rank may hold all 64 lanes: 1 GiB of windows at most.
            window_bytes: 16 << 20,
            reshuffle_each_epoch: true,
        }
    }
}

impl OrderSettings {
    /// Storage order, over one lane.
    pub fn unshuffled() -> Self {
        Self { mode: Mode::None, num_lanes: 1, ..Self::default() }
    }

    /// The defaults of a mode under a seed: one lane for storage order, 64 for the others.
    pub fn with_mode(mode: Mode, seed: u64) -> Self {
        let num_lanes = if mode == Mode::None { 1 } else { Self::default().num_lanes };
        Self { mode, seed, num_lanes, ..Self::default() }
    }

    /// Refuses a number of lanes that no order has.
    pub fn validate(&self) -> Result<()> {
        if (1..=MAX_LANES).contains(&self.num_lanes) {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!(
            "num_lanes is {}; it must be between 1 and {MAX_LANES}",
            self.num_lanes
        )))
    }

    /// The epoch that keys the permutations of `epoch`.
    pub(crate) fn keyed_epoch(&self, epoch: u64) -> u64 {
        if self.reshuffle_each_epoch { epoch } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_reads_back_its_own_name() {
        for mode in [Mode::None, Mode::Shard, Mode::Window, Mode::Row] {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        let error = "rows".parse::<Mode>().unwrap_err().to_string();
        assert!(error.contains("\"rows\"") && error.contains("window"), "{error}");
    }

    #[test]
    fn storage_order_has_one_lane_and_no_order_has_none() {
        assert_eq!(OrderSettings::unshuffled().num_lanes, 1);
        assert_eq!(OrderSettings::with_mode(Mode::Row, 3).num_lanes, 64);
        assert!(OrderSettings { num_lanes: 0, ..OrderSettings::default() }.validate().is_err());
        assert!(OrderSettings::default().validate().is_ok());
    }
}
