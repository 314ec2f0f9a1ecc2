//! Golden orders of version 1: an upgrade never silently changes a stream.
//!
//! If one of these fails, either the change is a mistake or `ALGORITHM_VERSION` goes up and the orders of
//! the new version are pinned beside these.

use std::sync::Arc;

use rowmill_core::order::{ALGORITHM_VERSION, EpochOrder, Layout, Mode, OrderSettings};
use xxhash_rust::xxh3::xxh3_64;

/// The hash of all row ids as little-endian bytes, and the first 16 of them.
type Golden = (u64, [u64; 16]);

fn golden(layout: Layout, settings: &OrderSettings, epoch: u64) -> Golden {
    let order = Arc::new(EpochOrder::new(Arc::new(layout), settings, epoch));
    let mut reader = order.reader();
    let ids: Vec<u64> = (0..order.num_rows()).map(|position| reader.row_id(position)).collect();
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    (xxh3_64(&bytes), std::array::from_fn(|position| ids[position]))
}

/// 200 blocks of 1 to 97 rows, two in nine of them empty, in 13 shards.
fn mixed_layout() -> Layout {
    let rows: Vec<u64> = (0..200).map(|block| if block % 9 < 2 { 0 } else { block * 31 % 97 + 1 }).collect();
    let bytes = rows.iter().map(|rows| rows * 100).collect();
    Layout::try_new(rows, bytes, (0..13).map(|shard| shard * 15).collect()).unwrap()
}

fn even_layout(num_rows: u64) -> Layout {
    let blocks = num_rows.div_ceil(1_000);
    let rows: Vec<u64> = (0..blocks).map(|block| (num_rows - block * 1_000).min(1_000)).collect();
    let bytes = rows.iter().map(|rows| rows * 8_192).collect();
    Layout::try_new(rows, bytes, vec![0]).unwrap()
}

fn mixed(mode: Mode, epoch: u64) -> Golden {
    let settings = OrderSettings { window_bytes: 20_000, num_lanes: 8, ..OrderSettings::with_mode(mode, 42) };
    golden(mixed_layout(), &settings, epoch)
}

fn even(mode: Mode, num_rows: u64) -> Golden {
    golden(even_layout(num_rows), &OrderSettings::with_mode(mode, 7), 0)
}

#[test]
fn version_1_orders_are_what_they_were() {
    assert_eq!(ALGORITHM_VERSION, 1);
    let orders = [
        mixed(Mode::None, 0),
        mixed(Mode::Shard, 0),
        mixed(Mode::Window, 0),
        mixed(Mode::Window, 1),
        mixed(Mode::Row, 0),
        mixed(Mode::Row, 1),
        even(Mode::Window, 65_537),
        even(Mode::Window, 1_048_577),
        even(Mode::Row, 1_000),
        even(Mode::Row, 65_535),
        even(Mode::Row, 65_536),
        even(Mode::Row, 65_537),
        even(Mode::Row, 262_145),
        even(Mode::Row, 1_048_577),
    ];
    for (index, (actual, expected)) in orders.iter().zip(&VERSION_1).enumerate() {
        assert_eq!(actual, expected, "golden order {index}; all of them are now {orders:?}");
    }
}

const VERSION_1: [Golden; 14] = [
    (
        0x04af_1001_04d2_4dce,
        [0, 942, 1884, 2825, 3766, 4707, 5648, 6589, 1, 943, 1885, 2826, 3767, 4708, 5649, 6590],
    ),
    (
        0x9274_e9db_cfbe_501d,
        [6360, 355, 3026, 4420, 5693, 7278, 4577, 1996, 6361, 356, 3027, 4421, 5694, 7279, 4578, 1997],
    ),
    (
        0xb180_f192_2dd1_da87,
        [6086, 1078, 4491, 1647, 3279, 5503, 214, 1478, 6067, 1070, 4518, 2416, 3271, 4475, 2608, 1727],
    ),
    (
        0x877c_cdbe_021e_e2fe,
        [1273, 3591, 2555, 867, 3524, 2396, 1968, 6859, 6315, 6614, 6704, 4768, 2235, 5615, 4670, 6875],
    ),
    (
        0xb13d_e5e7_8901_6533,
        [4046, 6322, 5691, 3693, 7409, 6629, 3283, 5299, 531, 2497, 1025, 689, 2019, 2520, 2281, 5970],
    ),
    (
        0xd0be_dcb7_1620_ce30,
        [919, 3544, 1951, 5907, 6520, 4445, 2763, 2469, 1347, 1248, 117, 5650, 1959, 534, 6570, 5244],
    ),
    (
        0xdd04_6d9d_534e_a878,
        [
            28_471, 28_391, 19_059, 19_588, 47_736, 10_819, 64_827, 14_235, 44_221, 44_832, 15_966, 15_259,
            63_642, 17_640, 12_614, 58_487,
        ],
    ),
    (
        0xa971_463f_bdf0_ce93,
        [
            820_471, 516_020, 256_065, 772_710, 158_186, 360_292, 502_909, 401_377, 734_115, 878_661,
            101_700, 610_342, 1478, 525_914, 634_350, 960_777,
        ],
    ),
    (0x3adb_d429_e5ce_38b7, [888, 640, 880, 933, 603, 726, 881, 477, 484, 481, 358, 373, 911, 646, 765, 943]),
    (
        0xf7c2_1ddf_2fb2_506e,
        [
            33_019, 19_235, 49_425, 2385, 32_168, 44_300, 25_885, 21_964, 13_524, 8321, 58_298, 18_024,
            10_796, 44_195, 46_794, 1543,
        ],
    ),
    (
        0x7846_32ed_26dc_99f8,
        [
            56_562, 60_282, 64_525, 54_370, 35_067, 23_158, 46_399, 49_773, 17_088, 61_754, 3494, 41_011,
            47_248, 28_539, 50_957, 47_505,
        ],
    ),
    (
        0x3a22_80f1_76a9_da87,
        [
            33_906, 14_891, 25_268, 6661, 58_955, 64_624, 28_102, 31_317, 26_680, 19_036, 12_242, 537,
            34_356, 55_482, 27_430, 23_702,
        ],
    ),
    (
        0x6699_4f41_36f2_89fb,
        [
            189_755, 222_408, 119_142, 24_336, 25_236, 62_224, 173_964, 190_352, 201_987, 82_274, 125_458,
            93_173, 254_505, 110_738, 152_812, 252_869,
        ],
    ),
    (
        0x98e2_f083_5ea8_b066,
        [
            996_460, 626_450, 249_646, 380_085, 32_514, 925_619, 995_540, 254_761, 52_159, 224_600, 500_123,
            400_084, 519_595, 632_897, 293_658, 406_787,
        ],
    ),
];
