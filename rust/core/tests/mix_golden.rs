//! Golden schedules of version 1: an upgrade never silently changes a mix.
//!
//! If one of these fails, either the change is a mistake or `ALGORITHM_VERSION` goes up and the schedules of the
//! new version are pinned beside these.

use rowmill_core::mix::{ALGORITHM_VERSION, Schedule, Step, TokenShares, counted_tokens};
use xxhash_rust::xxh3::xxh3_64;

/// The hash of the first 100,000 sources as bytes, and the first 24 of them.
type Golden = (u64, [u8; 24]);

fn golden(schedule: &Schedule) -> Golden {
    let sources: Vec<u8> = (0..100_000).map(|position| schedule.source_of(position) as u8).collect();
    (xxh3_64(&sources), std::array::from_fn(|position| sources[position]))
}

fn constant(weights: &[f64], num_lanes: u32, seed: u64) -> Golden {
    golden(&Schedule::try_new(weights, num_lanes, seed).unwrap())
}

fn curve() -> Schedule {
    let steps = [
        Step { is_ramp: true, ..Step::constant(0, &[0.9, 0.1, 0.0]) },
        Step::constant(3_000, &[0.5, 0.3, 0.2]),
        Step::constant(50_000, &[0.0, 0.5, 0.5]),
    ];
    Schedule::with_steps(&steps, 64, 7).unwrap()
}

fn tokens() -> Golden {
    let shares = TokenShares::try_new(&[Step::constant(0, &[0.7, 0.2, 0.1])], 4, 7).unwrap();
    let mut tokens = [[0; 3]; 4];
    let next = |position: u32| {
        let lane = position % 4;
        let source = shares.next_source(lane, &tokens[lane as usize]);
        tokens[lane as usize][source] += counted_tokens(u64::from(position * 7919 % 1000));
        source as u8
    };
    let sources: Vec<u8> = (0..100_000).map(next).collect();
    (xxh3_64(&sources), std::array::from_fn(|position| sources[position]))
}

#[test]
fn version_1_schedules_are_what_they_were() {
    assert_eq!(ALGORITHM_VERSION, 1);
    let schedules = [
        constant(&[0.8, 0.2], 64, 7),
        constant(&[0.8, 0.2], 64, 8),
        constant(&[0.5, 0.3, 0.11, 0.05, 0.03, 0.01], 64, 7),
        constant(&[1.0; 64], 12, 7),
        constant(&[0.999_999, 1e-6], 64, 7),
        constant(&[123_456_789.0, 4_567_890.0, 1.0], 768, 7),
        golden(&curve()),
        golden(&curve().remix(40_000, &[Step::constant(0, &[0.1, 0.2, 0.3, 0.4])]).unwrap()),
        tokens(),
    ];
    for (index, (actual, expected)) in schedules.iter().zip(&VERSION_1).enumerate() {
        assert_eq!(actual, expected, "golden schedule {index}; all of them are now {schedules:?}");
    }
}

const VERSION_1: [Golden; 9] = [
    (0x76f8_efe0_471d_df58, [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
    (0x85da_ffbc_ddcb_6034, [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    (0x1245_833d_f9e7_93d1, [1, 0, 0, 1, 0, 2, 1, 0, 3, 0, 0, 1, 4, 0, 0, 2, 1, 0, 0, 1, 2, 0, 1, 0]),
    (
        0x2e54_091d_ab2c_a697,
        [9, 11, 29, 1, 0, 6, 5, 14, 23, 13, 57, 2, 40, 53, 41, 42, 22, 43, 52, 27, 25, 60, 21, 59],
    ),
    (0x315c_72a6_4b7d_f4d2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (0xd38e_58c6_13e7_3b7b, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (0x116b_0e8a_0f86_ad54, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (0xccea_d956_7409_2617, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (0xa63c_15f0_015c_74c9, [1, 0, 2, 1, 0, 1, 0, 0, 1, 2, 0, 0, 2, 0, 0, 0, 2, 0, 1, 2, 0, 1, 0, 0]),
];
