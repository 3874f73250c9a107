//! Puts the kernels into the program: compiled with nvcc where there is one, else as `kernels/prebuilt/` has them.
//!
//! Writes `OUT_DIR/kernels.rs` for `src/catalog/images.rs`, and tells the program its git revision. The work is in
//! `build/`, which `cargo xtask kernels` shares. `GEMMSCOPE_KERNELS=nvcc|prebuilt` overrides the choice.

// xtask writes what this script reads: each uses its half.
#[allow(dead_code)]
#[path = "build/mod.rs"]
mod kernels;

use kernels::compile::{Cache, Compiler, Images, compress};
use kernels::toolchain::{self, Choice};
use kernels::{Error, prebuilt, ptx, sources};
use std::env;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    git_revision(&root);
    if let Err(error) = images(&root, &out) {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
    }
}

fn images(root: &Path, out: &Path) -> Result<(), Error> {
    watch_sources(root)?;
    let catalog = sources::catalog(root)?;
    let (images, source) = match toolchain::find(root, Choice::from_env(&env)?, &env)? {
        Some(toolchain) => {
            env("NVCC_CCBIN");
            println!("cargo::rerun-if-changed={}", toolchain.nvcc.display());
            let cache = Cache::below(target_dir(out));
            let scratch = out.join("scratch");
            let compiler = Compiler { root, toolchain: &toolchain, scratch: &scratch, cache: &cache, fresh_ptx: false };
            (compiler.compile(&catalog)?, format!("nvcc {}", toolchain.version))
        }
        None => {
            println!("cargo::rerun-if-changed=kernels/prebuilt");
            let (manifest, images) = prebuilt::read(root)?;
            (images, format!("prebuilt by nvcc {}", manifest.nvcc))
        }
    };
    for arch in &images.unknown_architectures {
        println!("cargo::warning={source} does not know {arch}: such a GPU gets its kernels from PTX");
    }
    write_images(out, &images, &source)
}

/// An environment variable, after telling cargo that it matters.
fn env(name: &str) -> Option<OsString> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var_os(name)
}

/// Has cargo run this again when anything below `kernels/` changes: every header that nvcc may read lies there, also one
/// that does not exist yet. `prebuilt/` is left out, which matters only to a build that uses it.
fn watch_sources(root: &Path) -> Result<(), Error> {
    let kernels = root.join("kernels");
    for entry in fs::read_dir(&kernels).map_err(Error::io("reading", &kernels))? {
        let name = entry.map_err(Error::io("reading", &kernels))?.file_name();
        if name != "prebuilt" && !name.to_string_lossy().starts_with('.') {
            println!("cargo::rerun-if-changed=kernels/{}", name.to_string_lossy());
        }
    }
    Ok(())
}

/// The target folder that holds OUT_DIR, known by the tag that cargo puts there; OUT_DIR itself if there is none.
fn target_dir(out: &Path) -> &Path {
    out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(out)
}

/// Writes the compressed images and the table over them.
fn write_images(out: &Path, images: &Images, source: &str) -> Result<(), Error> {
    let put = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).map_err(Error::io("writing", path))
    };
    let mut table = format!("const KERNEL_SOURCE: &str = {source:?};\nstatic IMAGES: &[Image] = &[\n");
    let embed = |name: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\"))");
    for image in &images.images {
        let version = ptx::version(&image.ptx).ok_or_else(|| Error::NoVersion(image.file.clone()))?;
        let stem = image.file.trim_end_matches(".cu").replace('/', "-");
        let ptx = format!("{stem}.ptx.z");
        put(&ptx, &compress(image.ptx.as_bytes()))?;
        let mut cubins = String::new();
        for (arch, cubin) in &image.cubins {
            let name = format!("{stem}-{arch}.cubin.z");
            put(&name, cubin)?;
            let _ = write!(cubins, "({arch:?}, {}), ", embed(&name));
        }
        let _ = writeln!(
            table,
            "    Image {{ file: {:?}, ptx_sha256: {:?}, ptx_version: {version:?}, ptx: {}, cubins: &[{cubins}] }},",
            image.file,
            sources::sha256(image.ptx.as_bytes()),
            embed(&ptx)
        );
    }
    table.push_str("];\n");
    put("kernels.rs", table.as_bytes())
}

/// Sets `GEMMSCOPE_GIT_REVISION`: the short hash of HEAD, with `-dirty` where what the program is made of differs from it,
/// or `unknown` outside a repository.
fn git_revision(root: &Path) {
    // What the program is made of. A change here means compiling anew in any case, so that running this script again for
    // it costs little, and a change elsewhere does not make this program another.
    const INPUTS: [&str; 6] = ["src", "kernels", "build", "build.rs", "Cargo.toml", "Cargo.lock"];

    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).arg("--no-optional-locks").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // A copy in some other project's tree, such as cargo's registry, must not take that one's revision.
    let here = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let revision = if here { git(&["rev-parse", "--short", "HEAD"]) } else { None };
    let Some(mut revision) = revision else {
        println!("cargo::rustc-env=GEMMSCOPE_GIT_REVISION=unknown");
        return;
    };
    let status = git(&[&["status", "--porcelain", "--"], &INPUTS[..]].concat());
    if status.is_some_and(|changes| !changes.is_empty()) {
        revision += "-dirty";
    }
    println!("cargo::rustc-env=GEMMSCOPE_GIT_REVISION={revision}");

    // --git-path finds them in a worktree too, whose HEAD and refs lie in different folders. The log grows with every
    // move of HEAD; where it is off, the ref that HEAD names does.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        // Cargo takes a watched file that does not exist for a change, in every build.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|p| root.join(p).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for input in INPUTS.iter().filter(|i| **i != "kernels" && root.join(i).exists()) {
        println!("cargo::rerun-if-changed={input}");
    }
}
