//! Puts the pinned nvcc into `target/cuda`, from the wheels on PyPI.

use crate::build::toolchain::{INSTALL_DIR, Toolchain, installed_nvcc};
use crate::build::{Error, PINNED_NVCC};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The wheels and their hashes, below the root.
const REQUIREMENTS: &str = "xtask/cuda-requirements.txt";

/// The pinned toolchain in `target/cuda`, installed if it is not there.
///
/// # Errors
/// No python3 or pip, no network, a wheel of another hash, an nvcc that does not run here.
pub fn pinned(root: &Path) -> Result<Toolchain> {
    let folder = root.join(INSTALL_DIR);
    let nvcc = installed_nvcc(&folder);
    if nvcc.is_file() {
        match at(&folder) {
            Ok(toolchain) if toolchain.is_pinned() => return Ok(toolchain),
            Ok(other) => eprintln!("target/cuda holds nvcc {}; replacing it by {PINNED_NVCC}", other.version),
            Err(error) => eprintln!("{error}\nreplacing target/cuda"),
        }
    }

    // Checked where nobody looks for it, and only then moved: an interrupted download leaves no half toolkit behind.
    let partial = folder.with_extension("partial");
    remove(&partial)?;
    download(root, &partial, "python3")?;
    let fresh = at(&partial)?;
    ensure!(fresh.is_pinned(), "{REQUIREMENTS} gave nvcc {}, not {PINNED_NVCC}; correct one of them", fresh.version);
    remove(&folder)?;
    fs::rename(&partial, &folder).with_context(|| format!("moving {} to {}", partial.display(), folder.display()))?;
    // build.rs cannot watch a file that is not there yet; this makes the next build look for nvcc again.
    let catalog = root.join("kernels/catalog.toml");
    let touched = fs::File::options().append(true).open(&catalog);
    touched
        .and_then(|file| file.set_modified(std::time::SystemTime::now()))
        .with_context(|| format!("touching {}", catalog.display()))?;
    Ok(at(&folder)?)
}

fn at(folder: &Path) -> Result<Toolchain, Error> {
    Toolchain::at(installed_nvcc(folder), &|name| std::env::var_os(name))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

/// One call for all wheels: pip merges badly into a folder that already has some of `nvidia/`.
fn download(root: &Path, target: &Path, python: &str) -> Result<()> {
    let pip = || {
        let mut command = Command::new(python);
        command.current_dir(root).args(["-m", "pip"]);
        command
    };
    match pip().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(e) => bail!(
            "{python} does not start ({e}); it downloads nvcc. Install it (Debian, Ubuntu: apt install python3 python3-pip)"
        ),
        Ok(status) if !status.success() => bail!(
            "{python} has no pip, which downloads nvcc. Install it (Debian, Ubuntu: apt install python3-pip; elsewhere: \
             {python} -m ensurepip --user)"
        ),
        Ok(_) => {}
    }
    eprintln!("installing nvcc {PINNED_NVCC} into target/cuda (some 90 MB to download)");
    let status = pip()
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ])
        .arg("--target")
        .arg(target)
        .args(["--requirement", REQUIREMENTS])
        .status()
        .with_context(|| format!("starting {python}"))?;
    ensure!(
        status.success(),
        "pip could not install nvcc ({status}); its message is above. It needs the network (or PIP_INDEX_URL for a mirror), \
         Linux on x86_64 or aarch64, and 300 MB in target/"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::testing::program;

    #[test]
    fn missing_python_and_pip_name_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let download = |python: &Path| {
            download(home.path(), &home.path().join("cuda.partial"), &python.to_string_lossy()).unwrap_err().to_string()
        };
        let message = download(&home.path().join("nopython"));
        assert!(message.contains("does not start") && message.contains("apt install python3 "), "{message}");
        let python = home.path().join("python3");
        program(&python, "exit 1");
        let message = download(&python);
        assert!(message.contains("has no pip") && message.contains("apt install python3-pip"), "{message}");
        program(&python, "[ \"$3\" = --version ] || exit 1");
        assert!(download(&python).contains("pip could not install nvcc"));
    }

    #[test]
    fn an_installed_nvcc_is_not_installed_again() {
        let root = tempfile::tempdir().unwrap();
        let nvcc = installed_nvcc(&root.path().join(INSTALL_DIR));
        program(&nvcc, &format!("echo 'Cuda compilation tools, release 13.0, V{PINNED_NVCC}'"));
        program(&nvcc.with_file_name("ptxas"), "exit 0");
        assert_eq!(pinned(root.path()).unwrap().nvcc, nvcc);
    }

    #[test]
    fn requirements_pin_the_same_nvcc() {
        let text = fs::read_to_string(crate::root().join(REQUIREMENTS)).unwrap();
        assert!(text.contains(&format!("nvidia-cuda-nvcc=={PINNED_NVCC} ")), "{text}");
    }
}
