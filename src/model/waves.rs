//! Waves: how many CTAs a device holds at once, and how full the last round of them is.

use super::{DeviceDescription, Execution, Order, SmLimits};
use crate::problem::Problem;
use serde::Serialize;

/// CTAs that one multiprocessor holds, and what keeps it from holding more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Occupancy {
    /// CTAs a multiprocessor; 0 if not even one fits.
    pub ctas: u32,
    /// `threads`, `registers`, `shared memory` or `CTA slots`.
    pub limited_by: &'static str,
}

/// The CTAs that a multiprocessor of the device holds at once.
///
/// Registers are handed out to a warp in units of 256, shared memory in units of 128 bytes and with the system's own share for
/// each CTA. With `registers` at the launch bounds' limit this is the least that is possible.
pub fn occupancy(execution: &Execution, device: &DeviceDescription) -> Occupancy {
    if device.is_cpu() {
        return Occupancy { ctas: 1, limited_by: "threads" };
    }
    resident_ctas(execution, &device.limits())
}

/// The CTAs that a multiprocessor of these limits holds at once, as [`occupancy`] says.
pub fn resident_ctas(execution: &Execution, limits: &SmLimits) -> Occupancy {
    let warps = execution.threads.div_ceil(32).max(1);
    let by_registers = execution
        .registers
        .map_or(u32::MAX, |registers| limits.registers / (warps * (registers.max(1) * 32).next_multiple_of(256)));
    let shared = match execution.shared_bytes.next_multiple_of(128) + limits.shared_reserved_bytes {
        0 => u32::MAX,
        bytes => limits.shared_bytes / bytes,
    };
    let (ctas, limited_by) = [
        (limits.threads / (warps * 32), "threads"),
        (by_registers, "registers"),
        (shared, "shared memory"),
        (limits.ctas, "CTA slots"),
    ]
    .into_iter()
    .min_by_key(|(ctas, _)| *ctas)
    .expect("there are limits");
    Occupancy { ctas, limited_by }
}

/// The rounds in which a device works through a kernel's CTAs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Waves {
    /// CTAs' worth of work.
    pub items: u64,
    /// CTAs that run at once: multiprocessors times occupancy.
    pub slots: u64,
    /// Items over slots.
    pub count: f64,
    /// Rounds that are full.
    pub full: u64,
    /// Items of the round after them; 0 where the last round is full.
    pub tail: u64,
    /// Items over the slots of all rounds: 1 where the last round is full.
    pub efficiency: f64,
}

/// The waves of a problem.
///
/// ```
/// use gemmscope::{Problem, model::{DeviceDescription, Execution, waves}};
/// // CO-01: batch 70 of a 19 x 19 Go net with 256 channels is exactly three waves of an H100.
/// let h100 = DeviceDescription::named("h100-sxm").unwrap();
/// let w = waves(&Problem::new(70 * 361, 256, 2304), &Execution::textbook(128, 128), h100);
/// assert_eq!((w.items, w.full, w.tail), (396, 3, 0));
/// ```
pub fn waves(problem: &Problem, execution: &Execution, device: &DeviceDescription) -> Waves {
    let items = execution.items(problem);
    let slots = slots(execution, device);
    let (full, tail) = (items / slots, items % slots);
    let rounds = (full + u64::from(tail > 0)) * slots;
    let efficiency = if execution.order == Order::StreamK || rounds == 0 { 1.0 } else { items as f64 / rounds as f64 };
    Waves { items, slots, count: items as f64 / slots as f64, full, tail, efficiency }
}

/// Multiprocessors that whole clusters can use, times occupancy.
pub(super) fn slots(execution: &Execution, device: &DeviceDescription) -> u64 {
    usable_sms(execution, device) * u64::from(occupancy(execution, device).ctas.max(1))
}

/// Multiprocessors left when only whole clusters are placed. How the chip's own groups cut this further is not published.
pub(super) fn usable_sms(execution: &Execution, device: &DeviceDescription) -> u64 {
    let (sms, cluster) = (u64::from(device.sms.value), u64::from(execution.cluster.max(1)));
    if sms < cluster { sms } else { sms / cluster * cluster }
}

/// Coulom's formula: the batch whose convolution output is `waves` full waves of tiles, `int(waves · area · slots / (rows · columns))`.
///
/// With tiles of 128 x 128 and slots equal to multiprocessors it is `int(n · (1 << 14) · SM / (H · W · C))` as published; here
/// slots are multiprocessors times occupancy, which that formula takes to be one. It counts elements and not tiles, so its
/// batch can spill into one more wave where tiles are cut by the edges: [`full_wave_batch`] does not.
///
/// `rows` is H · W, the rows of the GEMM that one image makes; `columns` is C, the channels of the output.
pub fn coulom_batch(waves: u64, tile: [u64; 3], slots: u64, rows: u64, columns: u64) -> u64 {
    waves * tile[0] * tile[1] * slots / (rows * columns).max(1)
}

/// The largest batch whose tiles fit into `waves` waves, or `None` if not even one item does.
///
/// `rows` is how many rows of the GEMM one item of the batch makes, `columns` the GEMM's n.
pub fn full_wave_batch(waves: u64, tile: [u64; 3], slots: u64, rows: u64, columns: u64) -> Option<u64> {
    let rows_of_tiles = waves * slots / columns.div_ceil(tile[1]).max(1);
    Some(rows_of_tiles * tile[0] / rows.max(1)).filter(|&batch| batch > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::catalog;
    use proptest::prelude::*;

    fn device(name: &str) -> &'static DeviceDescription {
        DeviceDescription::named(name).unwrap()
    }

    fn count(m: u64, n: u64, tile: (u64, u64), name: &str) -> Waves {
        waves(&Problem::new(m, n, 4096), &Execution::textbook(tile.0, tile.1), device(name))
    }

    /// The guides' eight tiles.
    const TILES: [(u64, u64); 8] =
        [(256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64)];

    #[test]
    fn nv_08_is_wave_neutral_for_every_tile() {
        // 6912 x 2048 on an A100's 108 and 8448 x 2048 on an H100's 132 multiprocessors: whole waves for each tile.
        for (m, name) in [(6912, "a100-80"), (8448, "h100-sxm")] {
            for tile in TILES {
                let w = count(m, 2048, tile, name);
                assert_eq!(w.tail, 0, "{name} {tile:?}");
                assert_eq!(w.efficiency, 1.0);
                assert_eq!(w.full, 4 * 256 * 128 / (tile.0 * tile.1), "{name} {tile:?}");
            }
        }
        assert_eq!(count(6912, 2048, (256, 128), "a100-80").items, 432);
        assert_eq!(count(8448, 2048, (256, 128), "h100-sxm").items, 528);
    }

    #[test]
    fn nv_10_needs_a_full_machine_to_cost_time() {
        // 4 and 6 tiles both fit into one wave of an H100; with 132 rows of tiles, column 129 is a second wave.
        let (four, six) = (count(256, 256, (128, 128), "h100"), count(256, 257, (128, 128), "h100"));
        assert_eq!((four.items, six.items), (4, 6));
        assert_eq!((four.full, six.full), (0, 0));
        assert_eq!(count(132 * 128, 128, (128, 128), "h100").count, 1.0);
        assert_eq!(count(132 * 128, 129, (128, 128), "h100").count, 2.0);
    }

    #[test]
    fn nv_11_has_one_wave_a_column_of_tiles() {
        for (m, name, sms) in [(27648, "a100", 108), (33792, "h100", 132)] {
            for n in (8..=520).step_by(8) {
                let w = count(m, n, (256, 128), name);
                assert_eq!((w.items, w.tail), (sms * n.div_ceil(128), 0), "{name} n {n}");
                assert_eq!(w.full, n.div_ceil(128), "time is flat between 136, 264 and 392, and steps there");
            }
        }
    }

    #[test]
    fn nv_12_leaves_a_tail_of_a_twelfth() {
        for (m, name, rows) in [(2304, "a100", 9), (2816, "h100", 11)] {
            let full = count(m, 1536, (256, 128), name);
            assert_eq!((full.full, full.tail, full.efficiency), (1, 0, 1.0), "{name}");
            let spilled = count(m, 1544, (256, 128), name);
            assert_eq!((spilled.full, spilled.tail), (1, rows), "{name}");
            // 8.33 % of the multiprocessors work in the second wave.
            assert!((spilled.tail as f64 / spilled.slots as f64 - 1.0 / 12.0).abs() < 1e-12);
            for jump in [3072, 4608, 6144] {
                assert_eq!(count(m, jump, (256, 128), name).tail, 0);
                assert_eq!(count(m, jump + 8, (256, 128), name).tail, rows);
            }
        }
    }

    #[test]
    fn fk_04_counts_horace_he_s_waves() {
        assert_eq!(count(1791, 1791, (256, 128), "a100").items, 98);
        assert_eq!(count(1792, 1792, (256, 128), "a100").full, 0);
        let over = count(1793, 1793, (256, 128), "a100");
        assert_eq!((over.items, over.full, over.tail), (120, 1, 12));
        // The H100's edge is at 2048: 8 x 16 tiles of 132, then 9 x 17.
        assert_eq!(count(2048, 2048, (256, 128), "h100").items, 128);
        assert_eq!(count(2049, 2049, (256, 128), "h100").items, 153);
    }

    #[test]
    fn fk_13_best_shapes_are_wave_full() {
        let filled = |m, n, name| {
            let w = count(m, n, (256, 128), name);
            (w.count * 100.0).round() / 100.0
        };
        // A100 1024 x 10240: 2.96 waves, 98.8 %; A100 PCIe 2048 x 5120 the same; H100 2048 x 2048: 128 of 132, 97 %; B200 1792 x 16128: 5.96.
        assert_eq!(filled(1024, 10240, "a100"), 2.96);
        assert!((count(1024, 10240, (256, 128), "a100").efficiency - 0.988).abs() < 5e-4);
        assert!((count(2048, 5120, (256, 128), "a100").efficiency - 0.988).abs() < 5e-4);
        assert!((count(2048, 2048, (256, 128), "h100").efficiency - 0.970).abs() < 5e-4);
        assert_eq!(filled(1792, 16128, "b200"), 5.96);
        assert!((count(1792, 16128, (256, 128), "b200").efficiency - 0.993).abs() < 5e-4);
        // The counter-examples: GH200 1024 x 15360 90.9 %, FP8 on H100 1024 x 9216 72.7 %.
        assert!((count(1024, 15360, (256, 128), "h100").efficiency - 0.909).abs() < 5e-4);
        assert!((count(1024, 9216, (256, 128), "h100").efficiency - 0.727).abs() < 5e-4);
    }

    #[test]
    fn fk_14_more_multiprocessors_help_by_whole_waves() {
        let with = |sms: u32| {
            let mut d = device("b200").clone();
            d.sms.value = sms;
            d
        };
        let rounds = |tiles: u64, sms: u32| {
            let w = waves(&Problem::new(256, 128 * tiles, 64), &Execution::textbook(256, 128), &with(sms));
            (w.full + u64::from(w.tail > 0)) as f64
        };
        for (tiles, speed_up) in [(152, 2.0), (296, 1.0), (3584, 25.0 / 24.0)] {
            assert_eq!(rounds(tiles, 148) / rounds(tiles, 152), speed_up, "{tiles} tiles");
        }
    }

    #[test]
    fn hw_04_four_idle_multiprocessors_cost_nothing() {
        // 8192 squared in 128 x 256 tiles: 2048 tiles are 16 rounds on 128 and on 132 multiprocessors.
        let w = count(8192, 8192, (128, 256), "h100");
        assert_eq!((w.items, w.full, w.tail > 0), (2048, 15, true));
        let mut fewer = device("h100").clone();
        fewer.sms.value = 128;
        let even = waves(&Problem::new(8192, 8192, 4096), &Execution::textbook(128, 256), &fewer);
        assert_eq!((even.full, even.tail), (16, 0));
    }

    #[test]
    fn co_01_batches_of_the_go_net() {
        let h100 = device("h100");
        let kernel = Execution::textbook(128, 128);
        let go = |batch: u64| waves(&Problem::new(batch * 361, 256, 2304), &kernel, h100);
        // Batch, tiles, waves to the catalogue's precision.
        for (batch, tiles, filled) in [
            (23, 130, 0.985),
            (24, 136, 1.03),
            (32, 182, 1.38),
            (46, 260, 1.97),
            (47, 266, 2.02),
            (64, 362, 2.74),
            (70, 396, 3.0),
            (71, 402, 3.05),
            (93, 526, 3.98),
            (128, 722, 5.47),
        ] {
            assert_eq!(go(batch).items, tiles, "batch {batch}");
            assert!((go(batch).count - filled).abs() < 0.006, "batch {batch}: {}", go(batch).count);
        }
        assert_eq!((go(70).full, go(70).tail), (3, 0), "batch 70 is three full waves");
        let slots = slots(&kernel, h100);
        let published: Vec<u64> = (1..=5).map(|n| (n << 14) * 132 / (361 * 256)).collect();
        assert_eq!(published, [23, 46, 70, 93, 117]);
        for (i, &batch) in published.iter().enumerate() {
            let waves = i as u64 + 1;
            assert_eq!(coulom_batch(waves, kernel.tile, slots, 361, 256), batch);
            assert_eq!(full_wave_batch(waves, kernel.tile, slots, 361, 256), Some(batch));
        }
        // Images per wave that is begun: 70 gives 23.3; 64, 71, 32 and 24 give less.
        let per_wave = |batch: u64| batch as f64 / go(batch).count.ceil();
        for (batch, images) in [(70, 23.33), (64, 21.33), (71, 17.75), (32, 16.0), (24, 12.0)] {
            assert!((per_wave(batch) - images).abs() < 0.005, "batch {batch}");
        }
    }

    #[test]
    fn fk_12_no_shape_is_wave_perfect_everywhere() {
        // Whole waves on 80, 108, 132 and 148 multiprocessors at once need a multiple of their least common multiple.
        let devices = ["v100", "a100", "h100", "b200"].map(device);
        let perfect = |tiles: u64| {
            let p = Problem::new(256, 128 * tiles, 64);
            devices.iter().all(|d| waves(&p, &Execution::textbook(256, 128), d).tail == 0)
        };
        let lcm = 879_120;
        assert!(perfect(lcm));
        assert!((1..lcm).step_by(37).all(|tiles| !perfect(tiles)));
        assert!([80, 108, 132, 148].iter().all(|sms| lcm % sms == 0));
    }

    #[test]
    fn occupancy_follows_the_scarcest_resource() {
        let a100 = device("a100");
        let base =
            Execution { threads: 128, registers: Some(128), shared_bytes: 49_152, ..Execution::textbook(64, 64) };
        // 164 KiB of shared memory hold three times 48 + 1 KiB.
        assert_eq!(occupancy(&base, a100), Occupancy { ctas: 3, limited_by: "shared memory" });
        // 255 registers are handed out as 256: two CTAs of 256 threads would need 131072.
        let greedy = Execution { threads: 256, registers: Some(255), shared_bytes: 0, ..base.clone() };
        assert_eq!(occupancy(&greedy, a100), Occupancy { ctas: 1, limited_by: "registers" });
        let tiny = Execution { threads: 32, registers: Some(16), shared_bytes: 0, ..base.clone() };
        assert_eq!(occupancy(&tiny, a100), Occupancy { ctas: 32, limited_by: "CTA slots" });
        let wide = Execution { threads: 1024, registers: Some(32), shared_bytes: 0, ..base };
        assert_eq!(occupancy(&wide, a100), Occupancy { ctas: 2, limited_by: "threads" });
        assert_eq!(occupancy(&wide, device("rtx4090")).ctas, 1);
    }

    #[test]
    fn every_variant_fits_on_every_device_that_can_run_it() {
        for kernel in &catalog().kernels {
            for d in super::super::devices().iter().filter(|d| d.compute_capability >= kernel.min_cc) {
                for variant in &kernel.variants {
                    let found = occupancy(&Execution::of(kernel, variant), d);
                    assert!(found.ctas >= 1, "{}/{} on {}", kernel.name, variant.name, d.name);
                }
            }
        }
    }

    #[test]
    fn clusters_use_whole_groups_of_multiprocessors() {
        let mut odd = device("h100").clone();
        odd.sms.value = 133;
        let paired = Execution { cluster: 2, ..Execution::textbook(128, 256) };
        assert_eq!(slots(&paired, &odd), 132);
        let three = waves(&Problem::new(3 * 128, 256, 64), &paired, &odd);
        assert_eq!(three.items, 4, "a cluster is launched whole");
    }

    proptest! {
        #[test]
        fn waves_count_every_item_once(
            m in 1u64..20000, n in 1u64..20000, split in 1u64..5, cluster in 1u32..4, which in 0usize..11,
        ) {
            let kernel = Execution { split_k: split, cluster, ..Execution::textbook(128, 64) };
            let w = waves(&Problem::new(m, n, 64), &kernel, &super::super::devices()[which]);
            prop_assert_eq!(w.full * w.slots + w.tail, w.items);
            prop_assert!(w.tail < w.slots);
            prop_assert!(w.efficiency > 0.0 && w.efficiency <= 1.0);
            prop_assert_eq!(w.efficiency == 1.0, w.tail == 0);
        }

        #[test]
        fn a_full_wave_batch_fills_its_waves_and_one_more_item_spills(
            n in 1u64..12, slots in 1u64..600, rows in 1u64..2000, columns in 1u64..2000,
        ) {
            let tile = [128, 128, 32];
            let items = |batch: u64| (batch * rows).div_ceil(tile[0]) * columns.div_ceil(tile[1]);
            let batch = full_wave_batch(n, tile, slots, rows, columns).unwrap_or(0);
            prop_assert!(items(batch) <= n * slots);
            prop_assert!(items(batch + 1) > n * slots);
        }
    }
}
