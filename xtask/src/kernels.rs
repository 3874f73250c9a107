//! `cargo xtask kernels`: makes `kernels/prebuilt/`, or checks that it is what the sources give.

use crate::build::compile::{Cache, Compiler};
use crate::build::sass::Disassembler;
use crate::build::{PINNED_NVDISASM, prebuilt, sources};
use crate::install;
use anyhow::{Result, bail};
use std::path::Path;

/// Install the pinned nvcc into target/cuda, make kernels/prebuilt/ from the sources, and look at the machine code.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cargo xtask kernels --check")]
pub struct Arguments {
    /// Change nothing: compare kernels/prebuilt/ with what the sources give, and fail where it differs.
    #[arg(long)]
    check: bool,
}

/// Runs it.
///
/// # Errors
/// No toolchain, kernels that do not compile or whose machine code is not what the catalogue says, or a difference.
pub fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    // A mistake in the catalogue is told before anything is downloaded.
    let catalog = sources::catalog(root)?;
    let toolchain = install::pinned(root)?;
    let nvdisasm = install::nvdisasm(root)?;
    let target = root.join("target");
    let (scratch, cache) = (target.join("kernel-scratch"), Cache::below(&target));
    let compiler = Compiler { root, toolchain: &toolchain, scratch: &scratch, cache: &cache, fresh_ptx: true };
    let images = compiler.compile(&catalog)?;
    let disassembler = Disassembler { nvdisasm: &nvdisasm, version: PINNED_NVDISASM, scratch: &scratch, cache: &cache };
    let cubins = disassembler.check(&catalog, &images)?;
    println!("the machine code of {cubins} cubins is what kernels/catalog.toml says");
    let files = prebuilt::render(&images, &toolchain.version, sources::hash_all(root)?);

    let kib = files.values().map(Vec::len).sum::<usize>().div_ceil(1024);
    if arguments.check {
        if let Some(difference) = prebuilt::first_difference(root, &files)? {
            bail!("{difference}; `cargo xtask kernels` makes it anew");
        }
        println!("kernels/prebuilt/ is what nvcc {} makes of the sources ({kib} KiB)", toolchain.version);
    } else {
        prebuilt::write(root, &files)?;
        println!("wrote kernels/prebuilt/ with nvcc {} ({} files, {kib} KiB)", toolchain.version, files.len());
    }
    Ok(())
}
