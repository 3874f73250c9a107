//! From `kernels/` to images: the one copy of what `build.rs` and `cargo xtask kernels` both do.
//!
//! `sources` reads and hashes the tree, `toolchain` finds nvcc, `compile` turns a catalogue into PTX and cubins, with
//! `ptx` making the text the same on every machine and `ptxas` judging the assembler's report. `sass` judges the machine code
//! itself, for `cargo xtask kernels` alone, and `prebuilt` is the PTX for machines without nvcc. Nothing here touches the network.

pub mod compile;
pub mod prebuilt;
pub mod ptx;
pub mod ptxas;
pub mod sass;
#[path = "../src/catalog/schema.rs"]
pub mod schema;
pub mod sources;
#[cfg(test)]
pub mod testing;
pub mod toolchain;

use std::path::PathBuf;
use thiserror::Error;

/// The version of nvcc that `cargo xtask kernels` installs and that made `kernels/prebuilt/`.
pub const PINNED_NVCC: &str = "13.0.88";

/// The version of nvdisasm that `cargo xtask kernels` installs: the first on PyPI, which has none of the pinned nvcc's release.
pub const PINNED_NVDISASM: &str = "13.2.51";

/// Why there are no images.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read, written or started.
    #[error("{doing} {}: {cause}", path.display())]
    Io {
        /// What was tried, such as `reading`.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// `catalog.toml` is not TOML or not of its schema.
    #[error("kernels/catalog.toml: {0}")]
    CatalogText(String),
    /// `catalog.toml` contradicts itself or the folder.
    #[error("kernels/catalog.toml: {}", .0.join("\nkernels/catalog.toml: "))]
    Catalog(Vec<String>),
    /// `GEMMSCOPE_KERNELS` has a value that means nothing.
    #[error("GEMMSCOPE_KERNELS is {0:?}; set it to `nvcc` or `prebuilt`, or unset it to use nvcc where there is one")]
    Choice(String),
    /// nvcc was demanded and is nowhere.
    #[error(
        "GEMMSCOPE_KERNELS is `nvcc`, but NVCC, CUDA_HOME, CUDA_PATH, PATH, /usr/local/cuda and target/cuda hold none; \
         `cargo xtask kernels` installs it into target/cuda"
    )]
    NoNvcc,
    /// `NVCC` names nothing.
    #[error("NVCC is {}, which is no program; correct it, or unset it to search elsewhere", .0.display())]
    NvccEnv(PathBuf),
    /// nvcc was found and does not work.
    #[error("{} --version failed: {said}\nRepair it, point NVCC at another, or set GEMMSCOPE_KERNELS=prebuilt", nvcc.display())]
    BrokenNvcc {
        /// The nvcc that was found.
        nvcc: PathBuf,
        /// Its output, or the system's.
        said: String,
    },
    /// There is an nvcc and no ptxas.
    #[error("there is no ptxas beside {} nor on PATH; repair that CUDA toolkit, or set GEMMSCOPE_KERNELS=prebuilt", .0.display())]
    NoPtxas(PathBuf),
    /// nvcc has no preprocessor to call.
    #[error(
        "{} needs a host compiler: {said}\nInstall gcc (Debian, Ubuntu: apt install gcc g++), name one in NVCC_CCBIN, or set \
         GEMMSCOPE_KERNELS=prebuilt", nvcc.display()
    )]
    NoHostCompiler {
        /// The nvcc that was used.
        nvcc: PathBuf,
        /// What it said.
        said: String,
    },
    /// nvcc or ptxas refused a file.
    #[error("{tool} does not take kernels/{file}:\n{said}")]
    Compiler {
        /// The program, with its version and architecture.
        tool: String,
        /// Path below `kernels/`.
        file: String,
        /// Its own words.
        said: String,
    },
    /// The code that ptxas made is not what the kernel's author meant.
    #[error("kernels/{file}: {}", faults.join(&format!("\nkernels/{file}: ")))]
    Faults {
        /// Path below `kernels/`.
        file: String,
        /// One sentence each.
        faults: Vec<String>,
    },
    /// The PTX lacks a line that every PTX has.
    #[error("the PTX of kernels/{0} has no .version line; is that nvcc complete?")]
    NoVersion(String),
    /// `kernels/prebuilt/` was made from other sources.
    #[error(
        "kernels/prebuilt/ is stale: it was made from sources with SHA-256 {recorded}, and kernels/ now has {actual}; \
         `cargo xtask kernels` installs nvcc and makes it anew"
    )]
    Stale {
        /// The hash in `kernels/prebuilt/manifest.toml`.
        recorded: String,
        /// The hash of the files.
        actual: String,
    },
    /// `kernels/prebuilt/` is missing or damaged.
    #[error("kernels/prebuilt/{file}: {what}; `cargo xtask kernels` makes it anew")]
    Prebuilt {
        /// Path below `kernels/prebuilt/`.
        file: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// Wraps an I/O error with what was being done to which file.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { doing, path, cause }
    }
}
