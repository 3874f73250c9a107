//! A made-up ladder with every kind of variant that the catalogue can describe, and devices to rank it for.

use crate::catalog::{Kernel, Variant, catalog};
use crate::device::DeviceInfo;
use crate::problem::{DType, Layout, Problem};
use crate::record::DeviceKind;
use std::sync::LazyLock;

/// A device of a product, of compute capability `cc` times ten.
pub(super) fn gpu(name: &str, cc: u32, units: u32) -> DeviceInfo {
    let mut info = crate::device::cpu::info();
    (info.cc, info.record.kind, info.record.units) = (cc, DeviceKind::Cuda, units);
    (info.record.name, info.record.memory_bytes) = (name.to_owned(), 80 << 30);
    (info.record.l2_bytes, info.record.peak_flop_per_cycle) = (50 << 20, 4096.0 * f64::from(units));
    info
}

pub(super) fn h100() -> DeviceInfo {
    gpu("NVIDIA H100 80GB HBM3", 90, 132)
}

pub(super) fn a100() -> DeviceInfo {
    gpu("NVIDIA A100-SXM4-80GB", 80, 108)
}

/// An emulated GPU: no product, few multiprocessors.
pub(super) fn emulated(cc: u32) -> DeviceInfo {
    let mut info = gpu("made up", cc, 8);
    info.record.kind = DeviceKind::Emulated;
    info
}

pub(super) fn kernel(name: &str, unit: &str, variants: Vec<Variant>) -> Kernel {
    let name = name.to_owned();
    let all = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    let (dtypes, layouts) = (all(&["f16"]), all(&["nn", "nt", "tn", "tt"]));
    let variants = variants
        .into_iter()
        .map(|v| Variant { dtypes: dtypes.clone(), layouts: layouts.clone(), min_cc: Some(80), ..v })
        .collect();
    let (file, summary, unit) = (String::new(), String::new(), unit.to_owned());
    Kernel { name, file, summary, unit, min_cc: 80, dtypes, layouts, variants }
}

pub(super) fn variant(name: &str, tile: [u32; 3], align_bytes: u32) -> Variant {
    Variant {
        name: name.to_owned(),
        route: "direct".to_owned(),
        tile,
        stages: 4,
        threads: if tile[0] * tile[1] > 128 * 64 { 256 } else { 128 },
        shared_bytes: 4 * (tile[0] + tile[1]) * tile[2] * 2,
        registers_max: Some(if tile[0] * tile[1] > 128 * 128 { 255 } else { 128 }),
        cluster: 1,
        splits: 1,
        align_bytes,
        ..Variant::default()
    }
}

/// Tiles of three sizes in three classes, split-K, a stream for few rows and one for few columns, absorption, and packing.
pub(super) fn ladder() -> Vec<&'static Kernel> {
    static LADDER: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let tiled =
            |tile: [u32; 3], name: &str| [16, 4, 2].map(|align| variant(&format!("{name}-a{align}"), tile, align));
        let tiles = [tiled([128, 256, 32], "large"), tiled([128, 128, 32], "middle"), tiled([64, 64, 32], "small")];
        let split = Variant { splits: 0, route: "split_k".to_owned(), ..variant("auto", [64, 64, 32], 16) };
        let few = |name: &str| Variant { threads: 256, shared_bytes: 16384, ..variant(name, [8, 32, 1024], 1) };
        let absorb = Variant {
            load_bytes: Some(16),
            align_a: Some(2),
            align_b: Some(16),
            route: "absorb".to_owned(),
            ..variant("a2", [128, 256, 32], 16)
        };
        // The catalogue is where the second half of a packing variant is looked for.
        let wide = catalog().kernels.iter().find_map(|k| {
            let fits = |v: &&Variant| v.takes("f16", "nn") && v.align_bytes == 16 && v.tile == [128, 256, 32];
            (k.unit == "mma.sync").then(|| k.variants.iter().find(fits).map(|v| format!("{}/{}", k.name, v.name)))?
        });
        let pack = Variant {
            layouts: vec!["nn".to_owned()],
            then: wide,
            pack: Some("ab".to_owned()),
            ..variant("ab", [128, 256, 32], 1)
        };
        vec![
            kernel("tiled", "mma.sync", tiles.into_iter().flatten().collect()),
            kernel("split", "mma.sync", vec![split]),
            kernel(
                "few",
                "simt",
                vec![
                    Variant { max_m: Some(8), ..few("rows") },
                    Variant { max_n: Some(8), tile: [32, 8, 1024], ..few("columns") },
                ],
            ),
            kernel("absorb", "mma.sync", vec![absorb]),
            kernel("pack", "mma.sync", vec![pack]),
        ]
    });
    LADDER.iter().collect()
}

/// Problems of FP16 and BF16 in every layout, with A, B and C at multiples of 2, 4, 8 and 16 bytes by their strides or bases, from few
/// rows to many.
pub(super) fn problems_of_each_alignment() -> Vec<Problem> {
    let mut problems = Vec::new();
    for (m, n, k) in
        [(1, 4096, 4096), (8, 4096, 8192), (16, 4096, 4096), (64, 64, 65536), (300, 200, 100), (4096, 4096, 4096)]
    {
        for dtype in [DType::F16, DType::Bf16] {
            for layout in Layout::ALL {
                for (pad_a, pad_b, base) in
                    [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (2, 2, 0), (4, 4, 0), (0, 0, 1), (1, 1, 3)]
                {
                    let plain = Problem::new(m, n, k).in_form(layout, dtype);
                    let (lda, ldb) = (plain.lda.next_multiple_of(8) + pad_a, plain.ldb.next_multiple_of(8) + pad_b);
                    problems.push(Problem { lda, ldb, offset_a: base, offset_b: base, offset_c: base, ..plain });
                }
            }
        }
    }
    problems
}
