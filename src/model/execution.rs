//! How a kernel covers a problem: what of it the model needs to know.

use super::{DeviceDescription, predict_execution};
use crate::catalog::{Kernel, Variant};
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
    /// CTAs that share one fetch of their columns of B.
    pub multicast: u32,
    /// CTAs that share the k steps of a tile; 1 without split-K.
    pub split_k: u64,
    /// Order of the tiles.
    pub order: Order,
    /// The unit that multiplies, as in the catalogue, or `library`, or `textbook`: a library's kernel that L2 never holds up.
    pub unit: String,
    /// Bytes that a lane copies at once.
    pub load_bytes: u64,
    /// Bytes that a lane copies at once in the kernel's widest variant.
    pub widest_load_bytes: u64,
}

impl Execution {
    /// How a variant of the catalogue covers a problem.
    pub fn of(kernel: &Kernel, variant: &Variant) -> Self {
        let widest = kernel.variants.iter().map(|v| v.align_bytes).max().unwrap_or(variant.align_bytes);
        Execution {
            tile: variant.tile.map(u64::from),
            threads: variant.threads,
            registers: variant.registers_max,
            shared_bytes: variant.shared_bytes,
            cluster: variant.cluster.max(1),
            multicast: variant.cluster.max(1),
            split_k: 1,
            order: Order::OnePerTile,
            unit: kernel.unit.clone(),
            load_bytes: u64::from(variant.align_bytes),
            widest_load_bytes: u64::from(widest),
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
            load_bytes: align.min(16),
            multicast: if hopper && aligned { 2 } else { 1 },
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
            multicast: 1,
            split_k: 1,
            order: Order::OnePerTile,
            unit: "textbook".to_owned(),
            load_bytes: 16,
            widest_load_bytes: 16,
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
        problem.m.div_ceil(self.tile[0]) * problem.n.div_ceil(self.tile[1])
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
    fn every_variant_of_the_catalogue_has_an_execution() {
        for kernel in &catalog().kernels {
            for variant in &kernel.variants {
                let e = Execution::of(kernel, variant);
                assert!(e.load_bytes <= e.widest_load_bytes && e.tile.iter().all(|&t| t > 0), "{}", variant.name);
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
