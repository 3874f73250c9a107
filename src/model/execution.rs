//! How a kernel covers a problem: what of it the model needs to know.

use super::waves::slots;
use super::{DeviceDescription, predict_execution};
use crate::catalog::{Kernel, Packed, Shares, Variant, catalog, packed};
use crate::problem::{Operand, Problem};
use serde::Serialize;

/// In which order, and by whom, the tiles of C are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One CTA a tile; the hardware hands them out.
    OnePerTile,
    /// As many CTAs as fit at once, each taking tile after tile.
    Persistent,
    /// As many CTAs as fit at once, each taking an equal share of all k steps. There is no wave tail.
    StreamK,
}

/// A kernel's way through a problem.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Execution {
    /// Rows, columns and depth of a CTA's tile, in elements.
    pub tile: [u64; 3],
    /// Threads in a CTA.
    pub threads: u32,
    /// Registers a thread; `None` leaves them out of the occupancy.
    pub registers: Option<u32>,
    /// Shared memory of a CTA, in bytes.
    pub shared_bytes: u32,
    /// CTAs of a cluster, which are placed together; 1 without clusters.
    pub cluster: u32,
    /// CTAs that share one fetch of their tile of A, and of B.
    pub multicast: [u32; 2],
    /// CTAs that share the k steps of a tile; 1 without split-K.
    pub split_k: u64,
    /// Order of the tiles.
    pub order: Order,
    /// CTAs that share k steps under stream-K; 0 for as many as fit at once.
    pub stream_ctas: u64,
    /// The unit that multiplies, as in the catalogue, or `library`, or `textbook`: a library's kernel that L2 never holds up.
    pub unit: String,
    /// Whether it reads one operand once, as a stream, for the few rows or columns of the other.
    pub streams: bool,
    /// Bytes that a lane copies at once, of A and of B.
    pub load_bytes: [u64; 2],
    /// Bytes that a lane copies at once in the kernel's widest variant.
    pub widest_load_bytes: u64,
    /// Whether the multipliers go on while other warps issue the copies.
    pub asynchronous: bool,
    /// Groups of rows, and of columns, that are tiled apart from each other because their addresses differ in alignment; 1 each
    /// where all are alike.
    pub classes: [u64; 2],
    /// Bytes that are read and written to pack operands first.
    pub packed_bytes: u64,
    /// Launches that follow each other.
    pub launches: u32,
}

/// A SIMT variant for at most so many rows or columns reads the other operand once, as a stream, and keeps up with it.
const STREAMED: u64 = 16;

impl Execution {
    /// How a variant of the catalogue covers a problem on a device, and the problem that it then multiplies: another one where it
    /// packs operands first.
    pub fn on(problem: &Problem, kernel: &Kernel, variant: &Variant, device: &DeviceDescription) -> (Self, Problem) {
        let Some(Packed { problem: then, kernel, variant, moved_bytes, operands, .. }) =
            packed(catalog(), variant, problem)
        else {
            return (Execution::direct(problem, kernel, variant, device), *problem);
        };
        let direct = Execution::direct(&then, kernel, variant, device);
        let launches = direct.launches + operands;
        (Execution { packed_bytes: moved_bytes, launches, ..direct }, then)
    }

    /// How a variant that packs nothing covers a problem.
    fn direct(problem: &Problem, kernel: &Kernel, variant: &Variant, device: &DeviceDescription) -> Self {
        if kernel.unit == "library" {
            return Execution::library(problem, device);
        }
        let mut own = Execution::of(kernel, variant);
        if own.streams {
            // Only the rows or columns that there are get multiplied.
            let [(_, max_m), (_, max_n), _] = variant.limits();
            let clip = |tile: u64, size: u64, max: u64| if max <= STREAMED { tile.min(size.max(1)) } else { tile };
            own.tile[0] = clip(own.tile[0], problem.m, max_m);
            own.tile[1] = clip(own.tile[1], problem.n, max_n);
        }
        if matches!(variant.route.as_str(), "absorb" | "residue") {
            // Rows of the operand that lies along k share tiles where they are equally far from a multiple of 16 bytes.
            let operand = if problem.layout.transposes(Operand::A) { Operand::B } else { Operand::A };
            let stored = problem.placement(operand);
            let stride = (stored.ld * problem.element_bytes(operand)) | 16;
            let classes = if stored.rows > 1 { 16 >> stride.trailing_zeros() } else { 1 };
            own.classes[usize::from(operand == Operand::B)] = classes.min(stored.rows.max(1));
        }
        if variant.splits == 0 {
            // What the route launches, whether it pays or not.
            let k_steps = problem.k.div_ceil(own.tile[2]);
            match Shares::new(own.tiles(problem), k_steps, slots(&own, device)) {
                Shares::Whole => {}
                Shares::Split(splits) => (own.split_k, own.launches) = (splits, 2),
                Shares::Stream { ctas, .. } => {
                    (own.order, own.stream_ctas, own.launches) = (Order::StreamK, ctas, 2);
                }
            }
        }
        own
    }

    /// How a variant of the catalogue covers a problem, as far as that depends on neither problem nor device.
    pub fn of(kernel: &Kernel, variant: &Variant) -> Self {
        let widths = |v: &Variant| {
            let aligned = [v.align_a, v.align_b].map(|own| u64::from(own.unwrap_or(v.align_bytes).min(16)));
            match v.route.as_str() {
                "absorb" => [16, 16],
                // Its A comes in whole granules whatever its alignment, its B as its contract says.
                "residue" => [16, aligned[1]],
                _ => v.load_bytes.map_or(aligned, |bytes| [u64::from(bytes.min(16)); 2]),
            }
        };
        let load_bytes = widths(variant);
        let widest = kernel.variants.iter().flat_map(widths).max().unwrap_or(load_bytes[0]);
        let streams = kernel.unit == "simt" && variant.limits()[..2].iter().any(|(_, max)| *max <= STREAMED);
        let stays = matches!(variant.route.as_str(), "persistent" | "absorb");
        let order = if stays { Order::Persistent } else { Order::OnePerTile };
        Execution {
            tile: variant.tile.map(u64::from),
            threads: variant.threads,
            registers: variant.registers_max,
            shared_bytes: variant.shared_bytes,
            cluster: variant.cluster.max(1),
            multicast: [(variant.box_a, variant.tile[0]), (variant.box_b, variant.tile[1])]
                .map(|(part, whole)| part.map_or(1, |[_, rows]| whole / rows.max(1)).max(1)),
            split_k: u64::from(variant.splits.max(1)),
            order,
            stream_ctas: 0,
            unit: kernel.unit.clone(),
            streams,
            load_bytes,
            widest_load_bytes: widest,
            asynchronous: kernel.unit == "wgmma",
            classes: [1, 1],
            packed_bytes: 0,
            launches: if variant.splits > 1 { 2 } else { 1 },
        }
    }

    /// What a library would run, cuBLAS for one, as far as is public: any of the guides' tiles, whichever should be fastest.
    ///
    /// Rows at multiples of 16 bytes take the fast path. Others, on compute capability 9.0 and later, cannot use tensor copies, and
    /// the library falls back to kernels of the generation before, on `mma.sync`, with copies as wide as the rows allow.
    pub fn library(problem: &Problem, device: &DeviceDescription) -> Self {
        const TILES: [(u64, u64); 8] =
            [(256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64)];
        let align = problem.align_bytes(Operand::A).min(problem.align_bytes(Operand::B));
        let aligned = align >= 16;
        let hopper = device.compute_capability >= 90;
        let each = TILES.into_iter().map(|(m, n)| Execution {
            unit: if aligned || !hopper { "library" } else { "mma.sync" }.to_owned(),
            load_bytes: [align.min(16); 2],
            multicast: if hopper && aligned { [1, 2] } else { [1, 1] },
            threads: if m * n > 128 * 64 { 256 } else { 128 },
            registers: Some(if m * n > 128 * 128 { 255 } else { 128 }),
            ..Execution::textbook(m, n)
        });
        let time = |e: &Execution| predict_execution(problem, e, device).total_ns();
        each.min_by(|a, b| time(a).total_cmp(&time(b))).expect("there are tiles")
    }

    /// A library's kernel as the guides assume it: one CTA of 256 threads on each multiprocessor, a tile of `m` by `n` by 32, and
    /// 16-byte copies.
    pub fn textbook(m: u64, n: u64) -> Self {
        Execution {
            tile: [m, n, 32],
            threads: 256,
            registers: Some(255),
            shared_bytes: 0,
            cluster: 1,
            multicast: [1, 1],
            split_k: 1,
            order: Order::OnePerTile,
            stream_ctas: 0,
            unit: "textbook".to_owned(),
            streams: false,
            load_bytes: [16, 16],
            widest_load_bytes: 16,
            asynchronous: false,
            classes: [1, 1],
            packed_bytes: 0,
            launches: 1,
        }
    }

    /// Tiles of C, the last ones only partly filled.
    ///
    /// ```
    /// use gemmscope::{Problem, model::Execution};
    /// // NV-10: one column more makes six tiles of four.
    /// let kernel = Execution::textbook(128, 128);
    /// assert_eq!(kernel.tiles(&Problem::new(256, 256, 64)), 4);
    /// assert_eq!(kernel.tiles(&Problem::new(256, 257, 64)), 6);
    /// ```
    pub fn tiles(&self, problem: &Problem) -> u64 {
        let along = |size: u64, i: usize| {
            let (classes, tile) = (self.classes[i].max(1), self.tile[i]);
            // The first `size % classes` classes have one member more than the others.
            let (each, more) = (size / classes, size % classes);
            more * (each + 1).div_ceil(tile) + (classes - more) * each.div_ceil(tile)
        };
        along(problem.m, 0) * along(problem.n, 1)
    }

    /// CTAs' worth of work: tiles times the slices of split-K, filled up to whole clusters.
    pub fn items(&self, problem: &Problem) -> u64 {
        (self.tiles(problem) * self.split_k).next_multiple_of(u64::from(self.cluster.max(1)))
    }

    /// Depth that one CTA works through, in whole k tiles.
    pub fn slice_k(&self, problem: &Problem) -> u64 {
        problem.k.div_ceil(self.split_k).next_multiple_of(self.tile[2])
    }

    /// m·n over the area of all tiles: 1 where m and n are whole tiles.
    pub fn tile_efficiency(&self, problem: &Problem) -> f64 {
        let area = self.tiles(problem) as f64 * (self.tile[0] * self.tile[1]) as f64;
        (problem.m * problem.n) as f64 / area
    }

    /// k over the depth that is multiplied: 1 where k is whole k tiles in every slice.
    pub fn k_efficiency(&self, problem: &Problem) -> f64 {
        let depth = self.slice_k(problem) * self.split_k;
        if depth == 0 { 1.0 } else { problem.k as f64 / depth as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::catalog;
    use proptest::prelude::*;

    #[test]
    fn the_tile_grid_of_the_vocabulary() {
        // FK-01: 50257 is odd, and 50304 has the same number of 128-wide tiles: the gain there is alignment alone.
        let kernel = Execution::textbook(128, 128);
        let columns = |n| kernel.tiles(&Problem::new(128, n, 768));
        assert_eq!((columns(50257), columns(50304)), (393, 393));
        let wide = Execution::textbook(128, 256);
        assert_eq!(wide.tiles(&Problem::new(128, 50257, 768)), 197);
        // RA-04: rows of tiles for MobileNet's feature maps at batch 127, 128 and 129.
        for (batch, rows) in [
            (127, [12446, 3112, 778, 195, 49, 1]),
            (128, [12544, 3136, 784, 196, 49, 1]),
            (129, [12642, 3161, 791, 198, 50, 2]),
        ] {
            let tiles =
                [112u64, 56, 28, 14, 7, 1].map(|side| kernel.tiles(&Problem::new(batch * side * side, 128, 64)));
            assert_eq!(tiles, rows, "batch {batch}");
        }
    }

    #[test]
    fn a_head_of_80_wastes_three_eighths_of_a_64_wide_k_tile() {
        // FK-03.
        let mut kernel = Execution::textbook(128, 128);
        kernel.tile[2] = 64;
        assert_eq!(1.0 - kernel.k_efficiency(&Problem::new(2048, 2048, 80)), 0.375);
    }

    #[test]
    fn shared_k_is_counted_as_it_is_launched() {
        let kernel = catalog().kernels.iter().find(|k| k.name == "10_split_k").unwrap();
        let variant = kernel.variants.iter().find(|v| v.name == "64x64x32-a16").unwrap();
        let a100 = DeviceDescription::named("a100-80").unwrap();
        // Three CTAs on each of 108 multiprocessors.
        let on = |m, n, k| {
            let (e, _) = Execution::on(&Problem::new(m, n, k), kernel, variant, a100);
            (e.split_k, e.order, e.stream_ctas, e.launches)
        };
        assert_eq!(on(128, 128, 8192), (32, Order::OnePerTile, 0, 2), "split-K");
        assert_eq!(on(2048, 2048, 2048), (1, Order::StreamK, 324, 2), "1024 tiles are 3.2 waves: stream-K");
        assert_eq!(on(64 * 18, 64 * 18, 2048), (1, Order::OnePerTile, 0, 1), "a whole wave");
        assert_eq!(on(64 * 4, 64 * 60, 64), (1, Order::OnePerTile, 0, 1), "too few k steps to share");
    }

    #[test]
    fn every_variant_of_the_catalogue_has_an_execution() {
        for kernel in &catalog().kernels {
            for variant in &kernel.variants {
                let e = Execution::of(kernel, variant);
                assert!(
                    e.load_bytes.iter().all(|&b| b <= e.widest_load_bytes) && e.tile.iter().all(|&t| t > 0),
                    "{}",
                    variant.name
                );
            }
        }
    }

    proptest! {
        #[test]
        fn efficiencies_are_shares_and_1_only_for_whole_tiles(
            m in 1u64..5000, n in 1u64..5000, k in 1u64..5000, split in 1u64..9, cluster in 1u32..5,
        ) {
            let kernel = Execution { split_k: split, cluster, ..Execution::textbook(128, 64) };
            let p = Problem::new(m, n, k);
            let (tile, depth) = (kernel.tile_efficiency(&p), kernel.k_efficiency(&p));
            prop_assert!(tile > 0.0 && tile <= 1.0 && depth > 0.0 && depth <= 1.0);
            prop_assert_eq!(tile == 1.0, m % 128 == 0 && n % 64 == 0);
            prop_assert!(kernel.items(&p) >= kernel.tiles(&p) * split);
            prop_assert!(kernel.slice_k(&p) * split >= k);
        }
    }
}
