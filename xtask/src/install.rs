//! Puts the pinned nvcc and nvdisasm below `target/`, from the wheels on PyPI.

use crate::build::toolchain::{INSTALL_DIR, Toolchain, installed_nvcc};
use crate::build::{Error, PINNED_NVCC, PINNED_NVDISASM};
use anyhow::{Context, Result, bail, ensure};
use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What one call of pip puts into one folder: it merges badly into a folder that already has some of `nvidia/`.
struct Wheels {
    /// What they are, with the version.
    what: String,
    /// The wheels and their hashes, below the root.
    requirements: &'static str,
    download_mb: u32,
    disk_mb: u32,
}

const NVCC_REQUIREMENTS: &str = "xtask/cuda-requirements.txt";
const NVDISASM_REQUIREMENTS: &str = "xtask/nvdisasm-requirements.txt";
/// nvdisasm has a folder of its own: it is of a later release than nvcc.
const NVDISASM_DIR: &str = "target/nvdisasm";

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
    let wheels =
        Wheels { what: format!("nvcc {PINNED_NVCC}"), requirements: NVCC_REQUIREMENTS, download_mb: 90, disk_mb: 300 };
    download(root, &wheels, &partial, "python3")?;
    let fresh = at(&partial)?;
    ensure!(
        fresh.is_pinned(),
        "{NVCC_REQUIREMENTS} gave nvcc {}, not {PINNED_NVCC}; correct one of them",
        fresh.version
    );
    replace(&folder, &partial)?;
    // build.rs cannot watch a file that is not there yet; this makes the next build look for nvcc again.
    let catalog = root.join("kernels/catalog.toml");
    let touched = fs::File::options().append(true).open(&catalog);
    touched
        .and_then(|file| file.set_modified(std::time::SystemTime::now()))
        .with_context(|| format!("touching {}", catalog.display()))?;
    Ok(at(&folder)?)
}

/// The pinned nvdisasm in `target/nvdisasm`, installed if it is not there.
///
/// # Errors
/// As [`pinned`].
pub fn nvdisasm(root: &Path) -> Result<PathBuf> {
    let folder = root.join(NVDISASM_DIR).join(PINNED_NVDISASM);
    let program = |folder: &Path| folder.join("nvidia/cu13/bin").join(format!("nvdisasm{EXE_SUFFIX}"));
    if program(&folder).is_file() {
        return Ok(program(&folder));
    }
    let partial = root.join(NVDISASM_DIR).join("partial");
    remove(&partial)?;
    let what = format!("nvdisasm {PINNED_NVDISASM}");
    let wheels = Wheels { what, requirements: NVDISASM_REQUIREMENTS, download_mb: 5, disk_mb: 10 };
    download(root, &wheels, &partial, "python3")?;
    let output = Command::new(program(&partial)).arg("--version").output().context("starting nvdisasm")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        said.contains(&format!("V{PINNED_NVDISASM}")),
        "{NVDISASM_REQUIREMENTS} gave another nvdisasm than {PINNED_NVDISASM}; correct one of them: {said}"
    );
    replace(&folder, &partial)?;
    Ok(program(&folder))
}

/// Moves a finished folder to its place.
fn replace(folder: &Path, finished: &Path) -> Result<()> {
    remove(folder)?;
    fs::rename(finished, folder).with_context(|| format!("moving {} to {}", finished.display(), folder.display()))
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

fn download(root: &Path, wheels: &Wheels, target: &Path, python: &str) -> Result<()> {
    let Wheels { what, requirements, download_mb, disk_mb } = wheels;
    let pip = || {
        let mut command = Command::new(python);
        command.current_dir(root).args(["-m", "pip"]);
        command
    };
    match pip().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(e) => bail!(
            "{python} does not start ({e}); it downloads {what}. Install it (Debian, Ubuntu: apt install python3 python3-pip)"
        ),
        Ok(status) if !status.success() => bail!(
            "{python} has no pip, which downloads {what}. Install it (Debian, Ubuntu: apt install python3-pip; elsewhere: \
             {python} -m ensurepip --user)"
        ),
        Ok(_) => {}
    }
    eprintln!("installing {what} below target/ (some {download_mb} MB to download)");
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
        .args(["--requirement", requirements])
        .status()
        .with_context(|| format!("starting {python}"))?;
    ensure!(
        status.success(),
        "pip could not install {what} ({status}); its message is above. It needs the network (or PIP_INDEX_URL for a mirror), \
         Linux on x86_64 or aarch64, and {disk_mb} MB in target/"
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
            let wheels =
                Wheels { what: "nvcc 1".to_owned(), requirements: NVCC_REQUIREMENTS, download_mb: 1, disk_mb: 1 };
            let target = home.path().join("cuda.partial");
            download(home.path(), &wheels, &target, &python.to_string_lossy()).unwrap_err().to_string()
        };
        let message = download(&home.path().join("nopython"));
        assert!(message.contains("does not start") && message.contains("apt install python3 "), "{message}");
        let python = home.path().join("python3");
        program(&python, "exit 1");
        let message = download(&python);
        assert!(message.contains("has no pip") && message.contains("apt install python3-pip"), "{message}");
        program(&python, "[ \"$3\" = --version ] || exit 1");
        assert!(download(&python).contains("pip could not install nvcc 1"));
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
    fn requirements_pin_the_same_versions() {
        let text = fs::read_to_string(crate::root().join(NVCC_REQUIREMENTS)).unwrap();
        assert!(text.contains(&format!("nvidia-cuda-nvcc=={PINNED_NVCC} ")), "{text}");
        let text = fs::read_to_string(crate::root().join(NVDISASM_REQUIREMENTS)).unwrap();
        assert!(text.contains(&format!("nvidia-cuda-nvdisasm=={PINNED_NVDISASM} ")), "{text}");
    }
}
