//! The shape of `kernels/catalog.toml`, read by the library, by `build.rs` and by `cargo xtask kernels`.

use serde::Deserialize;

/// The whole catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Version of this schema; 1 today.
    pub schema: u32,
    /// Translation units.
    #[serde(rename = "file")]
    pub files: Vec<SourceFile>,
    /// GEMM kernels, in the ladder's order.
    #[serde(rename = "kernel")]
    pub kernels: Vec<Kernel>,
    /// Entries that are not GEMMs: fills, clocks, checks.
    #[serde(rename = "helper", default)]
    pub helpers: Vec<Helper>,
}

/// One `.cu` file and what it is compiled to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Path below `kernels/`.
    pub path: String,
    /// Virtual architecture of the PTX, such as `compute_80`.
    pub ptx_arch: String,
    /// Real architectures that get a cubin, assembled from that same PTX.
    pub cubins: Vec<String>,
}

/// A rung of the ladder: one idea, in several variants.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Name on the command line and in records, such as `04_mma`.
    pub name: String,
    /// The file that holds all its variants.
    pub file: String,
    /// What it is, in a sentence.
    pub summary: String,
    /// The unit that multiplies: `simt`, `wmma` or `mma.sync`.
    pub unit: String,
    /// Lowest compute capability, times ten.
    pub min_cc: u32,
    /// Element type of A, B and C.
    pub dtype: String,
    /// Layouts it takes, such as `nn`.
    pub layouts: Vec<String>,
    /// Its variants.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
}

/// One compiled entry point of a kernel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name within the kernel, such as `128x128x32-a16`.
    pub name: String,
    /// Symbol in the module.
    pub entry: String,
    /// Rows, columns and depth of a CTA's tile, in elements.
    pub tile: [u32; 3],
    /// Stages of the shared-memory ring; 1 where there is none.
    pub stages: u32,
    /// Threads in a CTA.
    pub threads: u32,
    /// Dynamic shared memory to ask for at launch, in bytes.
    pub shared_bytes: u32,
    /// Highest register count per thread that the launch bounds allow.
    #[serde(default)]
    pub registers_max: Option<u32>,
    /// What the base addresses and row strides of A and B must be a multiple of, in bytes.
    pub align_bytes: u32,
}

/// A kernel that is not a GEMM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helper {
    /// The file that holds it.
    pub file: String,
    /// Symbol in the module.
    pub entry: String,
    /// Threads in a CTA.
    pub threads: u32,
}
