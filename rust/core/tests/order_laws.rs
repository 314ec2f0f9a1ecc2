//! The order law over random layouts: every row exactly once, whatever the mode, and fast paths that agree.

use std::sync::Arc;

use proptest::prelude::*;
use rowmill_core::order::{EpochOrder, Layout, Mode, OrderSettings};

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::None), Just(Mode::Shard), Just(Mode::Window), Just(Mode::Row)]
}

/// Blocks of 0 to 40 rows, many of them empty, in shards of which some are empty too.
fn layouts() -> impl Strategy<Value = Layout> {
    let block = prop_oneof![2 => Just(0_u64), 5 => 1..40_u64, 1 => Just(1)];
    (prop::collection::vec((block, 0..500_u64), 0..40), prop::collection::vec(0..40_u32, 0..8)).prop_map(
        |(blocks, mut shards)| {
            let (rows, bytes): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
            shards.push(0);
            for first in &mut shards {
                *first = (*first).min(rows.len() as u32);
            }
            shards.sort_unstable();
            Layout::try_new(rows, bytes, shards).expect("a sound layout")
        },
    )
}

prop_compose! {
    fn settings()(mode in modes(), seed: u64, num_lanes in 1..70_u32, window_bytes in 0..3_000_u64,
                  reshuffle_each_epoch: bool) -> OrderSettings {
        OrderSettings { mode, seed, num_lanes, window_bytes, reshuffle_each_epoch }
    }
}

fn order(layout: &Layout, settings: &OrderSettings, epoch: u64) -> Arc<EpochOrder> {
    Arc::new(EpochOrder::new(Arc::new(layout.clone()), settings, epoch))
}

fn row_ids(order: &Arc<EpochOrder>) -> Vec<u64> {
    (0..order.num_rows()).map(|position| order.row_id_at(position)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_comes_exactly_once(layout in layouts(), settings in settings(), epoch in 0..4_u64,
                                    cut in (0..400_u64, 0..800_u64)) {
        for layout in [layout.clipped(cut.0..cut.1), layout] {
            let mut ids = row_ids(&order(&layout, &settings, epoch));
            ids.sort_unstable();
            prop_assert_eq!(ids, layout.row_ids().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_reader_agrees_with_the_simple_path_in_any_order_of_asking(
        layout in layouts(), settings in settings(), jumps in prop::collection::vec(any::<u64>(), 50),
    ) {
        let order = order(&layout, &settings, 1);
        let mut reader = order.reader();
        let num_rows = order.num_rows();
        let jumps = jumps.into_iter().filter(|_| num_rows > 0).map(|jump| jump % num_rows);
        for position in (0..num_rows).chain(jumps) {
            let row_id = order.row_id_at(position);
            prop_assert_eq!(reader.locate(position), layout.locate(row_id));
            prop_assert_eq!(reader.row_id(position), row_id);
            let (lane, index) = order.lanes().of_position(position);
            prop_assert_eq!(reader.locate_in_lane(lane, index), layout.locate(row_id));
        }
    }

    #[test]
    fn the_windows_of_a_lane_hold_its_rows_and_follow_one_another(layout in layouts(), settings in settings(),
                                                                  cut in (0..200_u64, 200..800_u64)) {
        let layout = layout.clipped(cut.0..cut.1);
        let order = order(&layout, &settings, 0);
        let mut reader = order.reader();
        for lane in 0..settings.num_lanes {
            let mut next = order.window_at(lane, 0);
            prop_assert_eq!(next.is_some(), settings.mode != Mode::Row && order.lane_len(lane) > 0);
            let mut index = 0;
            while let Some(span) = next {
                prop_assert_eq!(span.elements.start, index);
                prop_assert!(!span.elements.is_empty());
                prop_assert!(span.sequence.start <= order.lanes().start(lane) + span.elements.start);
                let rows: u64 = span.blocks.iter().map(|block| u64::from(block.rows.end - block.rows.start)).sum();
                prop_assert_eq!(rows, span.sequence.end - span.sequence.start);
                for element in span.elements.clone() {
                    let place = reader.locate_in_lane(lane, element);
                    let holds = |block: &rowmill_core::order::WindowBlock| {
                        block.block == place.block && block.rows.contains(&place.row)
                    };
                    prop_assert!(span.blocks.iter().any(holds));
                    prop_assert!(order.window_at(lane, element).is_some_and(|found| found == span));
                }
                index = span.elements.end;
                next = order.next_window(lane, &span);
            }
            if settings.mode != Mode::Row {
                prop_assert_eq!(index, order.lane_len(lane));
            }
        }
    }

    #[test]
    fn lanes_deal_one_sequence(layout in layouts(), mode in modes(), seed: u64, num_lanes in 1..70_u32) {
        let settings = |num_lanes| OrderSettings { num_lanes, ..OrderSettings::with_mode(mode, seed) };
        let sequence = row_ids(&order(&layout, &settings(1), 0));
        let dealt = order(&layout, &settings(num_lanes), 0);
        let by_lane: Vec<u64> = (0..num_lanes)
            .flat_map(|lane| (0..dealt.lane_len(lane)).map(move |index| (lane, index)))
            .map(|(lane, index)| dealt.row_id_in_lane(lane, index))
            .collect();
        prop_assert_eq!(by_lane, sequence);
    }

    #[test]
    fn storage_order_over_one_lane_is_the_identity(layout in layouts(), epoch: u64) {
        let ids = row_ids(&order(&layout, &OrderSettings::unshuffled(), epoch));
        prop_assert_eq!(ids, layout.row_ids().collect::<Vec<_>>());
    }

    #[test]
    fn an_order_not_reshuffled_is_that_of_epoch_zero(layout in layouts(), settings in settings(), epoch in 1..9_u64) {
        let again = OrderSettings { reshuffle_each_epoch: false, ..settings.clone() };
        let first = row_ids(&order(&layout, &settings, 0));
        prop_assert_eq!(&row_ids(&order(&layout, &again, epoch)), &first);
    }

    #[test]
    fn empty_blocks_and_shards_change_no_order(layout in layouts(), settings in settings(), seed: u64) {
        prop_assume!(layout.num_rows() > 0);
        let mut rows = Vec::new();
        let mut shards = Vec::new();
        let insert = |count: u64, rows: &mut Vec<u64>| {
            if (seed >> (rows.len() % 64)) & 1 == 1 {
                rows.push(0);
            }
            rows.push(count);
        };
        let counts: Vec<u64> = (0..20).map(|block| (seed >> block) % 9 + 1).collect();
        for (block, &count) in counts.iter().enumerate() {
            if block % 5 == 0 {
                shards.extend([rows.len() as u32; 2]);
            }
            insert(count, &mut rows);
        }
        let bytes = rows.clone();
        let with_empty = Layout::try_new(rows, bytes, shards).expect("a sound layout");
        let without = Layout::try_new(counts.clone(), counts, vec![0, 5, 10, 15]).expect("a sound layout");
        let settings = OrderSettings { window_bytes: 20, ..settings };
        prop_assert_eq!(row_ids(&order(&with_empty, &settings, 2)), row_ids(&order(&without, &settings, 2)));
    }
}

#[test]
fn seeds_and_epochs_give_orders_of_their_own() {
    let layout =
        Layout::try_new(vec![50; 40], vec![50; 40], (0..10).map(|shard| shard * 4).collect()).unwrap();
    for mode in [Mode::Shard, Mode::Window, Mode::Row] {
        let of = |seed, epoch| row_ids(&order(&layout, &OrderSettings::with_mode(mode, seed), epoch));
        assert_eq!(of(1, 1), of(1, 1));
        let distinct: std::collections::HashSet<_> =
            [of(0, 0), of(0, 1), of(1, 0), of(1, 1), of(2, 0)].into_iter().collect();
        assert_eq!(distinct.len(), 5, "{mode}");
    }
}

#[test]
fn windows_of_more_rows_than_a_table_are_exact_too() {
    let layout = Layout::try_new(vec![1_000; 150], vec![1; 150], vec![0]).unwrap();
    let settings = OrderSettings { window_bytes: 70, ..OrderSettings::default() };
    let order = order(&layout, &settings, 0);
    let mut reader = order.reader();
    let mut ids: Vec<u64> = (0..order.num_rows()).map(|position| reader.row_id(position)).collect();
    assert!((0..150_000).step_by(997).all(|position| order.row_id_at(position) == ids[position as usize]));
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..150_000));
}
