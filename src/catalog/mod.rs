//! The kernels that this program holds: names, tiles, alignment contracts and compiled images.
//!
//! `kernels/catalog.toml` is the one list; `build.rs` compiles what it names and this module reads the same file.

mod images;
mod schema;

pub use images::{Image, image, images, kernel_source};
pub use schema::{Catalog, Helper, Kernel, SourceFile, Variant};

use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    // build.rs has parsed this very text with these very types, so it cannot fail here.
    toml::from_str(include_str!("../../kernels/catalog.toml")).expect("build.rs checked kernels/catalog.toml")
});

/// The catalogue of CUDA kernels.
pub fn catalog() -> &'static Catalog {
    &CATALOG
}

/// The CPU's one kernel: a library SGEMM between a widening and a narrowing.
pub fn cpu_kernel() -> &'static Kernel {
    static CPU: LazyLock<Kernel> = LazyLock::new(|| Kernel {
        name: "cpu_sgemm".to_owned(),
        file: String::new(),
        summary: "CPU: FP16 rows widened to FP32, matrixmultiply's SGEMM, and the result narrowed to FP16".to_owned(),
        unit: "cpu".to_owned(),
        min_cc: 0,
        dtype: "f16".to_owned(),
        layouts: vec!["nn".to_owned()],
        variants: vec![Variant {
            name: "matrixmultiply".to_owned(),
            entry: String::new(),
            tile: [1, 1, 1],
            stages: 1,
            threads: 1,
            shared_bytes: 0,
            registers_max: None,
            align_bytes: 2,
        }],
    });
    &CPU
}
