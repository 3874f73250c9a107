//! Where nvcc is, and which.

use super::{Error, PINNED_NVCC};
use std::env::consts::EXE_SUFFIX;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A CUDA compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Compiles CUDA C++ to PTX.
    pub nvcc: PathBuf,
    /// Assembles PTX to a cubin.
    pub ptxas: PathBuf,
    /// nvcc's version, such as `13.0.88`.
    pub version: String,
}

/// Reads an environment variable; `build.rs` tells cargo of each one read.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where `cargo xtask kernels` puts the toolkit, below the workspace's root.
pub const INSTALL_DIR: &str = "target/cuda";

/// The nvcc of the toolkit that `cargo xtask kernels` installs, below the folder that holds it.
pub fn installed_nvcc(install_dir: &Path) -> PathBuf {
    install_dir.join("nvidia/cu13/bin").join(format!("nvcc{EXE_SUFFIX}"))
}

/// What `GEMMSCOPE_KERNELS` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// nvcc where there is one, else what was built beforehand.
    Auto,
    /// nvcc, or fail.
    Nvcc,
    /// What was built beforehand, even where there is an nvcc.
    Prebuilt,
}

impl Choice {
    /// Reads `GEMMSCOPE_KERNELS`, and `DOCS_RS`, under which nothing is compiled.
    ///
    /// # Errors
    /// A value that means nothing.
    pub fn from_env(env: Env) -> Result<Self, Error> {
        if env("DOCS_RS").is_some() {
            return Ok(Self::Prebuilt);
        }
        match env("GEMMSCOPE_KERNELS").map(|v| v.to_string_lossy().into_owned()).as_deref() {
            None | Some("") => Ok(Self::Auto),
            Some("nvcc") => Ok(Self::Nvcc),
            Some("prebuilt") => Ok(Self::Prebuilt),
            Some(other) => Err(Error::Choice(other.to_owned())),
        }
    }
}

/// The compiler to use: the first in `NVCC`, `CUDA_HOME`, `CUDA_PATH`, `PATH`, `/usr/local/cuda` and `root/target/cuda`.
/// `None` is to use what was built beforehand.
///
/// # Errors
/// An nvcc that does not answer, that `NVCC` names in vain, or that `choice` demands and that is not there.
pub fn find(root: &Path, choice: Choice, env: Env) -> Result<Option<Toolchain>, Error> {
    if choice == Choice::Prebuilt {
        return Ok(None);
    }
    match find_nvcc(root, Path::new("/usr/local/cuda"), env)? {
        Some(nvcc) => Toolchain::at(nvcc, env).map(Some),
        None if choice == Choice::Nvcc => Err(Error::NoNvcc),
        None => Ok(None),
    }
}

fn find_nvcc(root: &Path, system: &Path, env: Env) -> Result<Option<PathBuf>, Error> {
    let name = format!("nvcc{EXE_SUFFIX}");
    let path = env("PATH");
    if let Some(named) = env("NVCC").filter(|v| !v.is_empty()) {
        let named = PathBuf::from(named);
        // A bare name is looked up as a shell would do it.
        let found = if named.components().count() == 1 { on_path(path.as_deref(), named.as_os_str()) } else { None };
        let nvcc = found.unwrap_or_else(|| named.clone());
        return if nvcc.is_file() { Ok(Some(nvcc)) } else { Err(Error::NvccEnv(named)) };
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|v| env(v).filter(|v| !v.is_empty()));
    let homes: Vec<PathBuf> = homes.map(|home| Path::new(&home).join("bin").join(&name)).collect();
    let found = homes
        .into_iter()
        .find(|nvcc| nvcc.is_file())
        .or_else(|| on_path(path.as_deref(), OsStr::new(&name)))
        .or_else(|| Some(system.join("bin").join(&name)).filter(|nvcc| nvcc.is_file()))
        .or_else(|| Some(installed_nvcc(&root.join(INSTALL_DIR))).filter(|nvcc| nvcc.is_file()));
    Ok(found)
}

fn on_path(path: Option<&OsStr>, name: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|folder| folder.join(name)).find(|program| program.is_file())
}

impl Toolchain {
    /// The toolchain of an nvcc.
    ///
    /// # Errors
    /// An nvcc that does not tell its version, or has no ptxas.
    pub fn at(nvcc: PathBuf, env: Env) -> Result<Self, Error> {
        let broken = |said: String| Error::BrokenNvcc { nvcc: nvcc.clone(), said };
        let output = quiet(&nvcc).arg("--version").output().map_err(|e| broken(e.to_string()))?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let version = version(&stdout).filter(|_| output.status.success()).ok_or_else(|| {
            broken(
                format!("{}\n{}{}", output.status, stdout, String::from_utf8_lossy(&output.stderr)).trim().to_owned(),
            )
        })?;

        let ptxas = format!("ptxas{EXE_SUFFIX}");
        // A distribution's /usr/bin/nvcc may be a link into the toolkit.
        let real = nvcc.canonicalize().unwrap_or_else(|_| nvcc.clone());
        let ptxas = [nvcc.with_file_name(&ptxas), real.with_file_name(&ptxas)]
            .into_iter()
            .find(|p| p.is_file())
            .or_else(|| on_path(env("PATH").as_deref(), OsStr::new(&ptxas)))
            .ok_or_else(|| Error::NoPtxas(nvcc.clone()))?;
        Ok(Self { nvcc, ptxas, version })
    }

    /// Whether this is the version that `kernels/prebuilt/` comes from.
    pub fn is_pinned(&self) -> bool {
        self.version == PINNED_NVCC
    }
}

/// A command of the toolkit, free of the variables that would change its output or language.
pub fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("NVCC_PREPEND_FLAGS").env_remove("NVCC_APPEND_FLAGS").env("LC_ALL", "C");
    command
}

/// The version in what `nvcc --version` prints.
fn version(text: &str) -> Option<String> {
    let (_, version) = text.lines().find(|l| l.contains("release "))?.rsplit_once(", V")?;
    Some(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fake_toolkit, program};
    use super::*;
    use std::fs;

    fn env<'a>(pairs: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_os_str().to_owned())
    }

    #[test]
    fn places_in_their_order() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let places = ["env/nvcc", "home/bin/nvcc", "cudapath/bin/nvcc", "path/nvcc", "system/bin/nvcc"];
        let installed = format!("{INSTALL_DIR}/nvidia/cu13/bin/nvcc");
        for place in places.iter().copied().chain([installed.as_str()]) {
            program(&at(place), "echo");
        }
        let (nvcc, cuda_home, cuda_path, path) = (at("env/nvcc"), at("home"), at("cudapath"), at("path"));
        let pairs: [(&str, &Path); 4] =
            [("NVCC", &nvcc), ("CUDA_HOME", &cuda_home), ("CUDA_PATH", &cuda_path), ("PATH", &path)];
        for (i, place) in places[..4].iter().enumerate() {
            let found = find_nvcc(home.path(), &at("system"), &env(&pairs[i..])).unwrap();
            assert_eq!(found, Some(at(place)));
        }
        let none = env(&[]);
        assert_eq!(find_nvcc(home.path(), &at("system"), &none).unwrap(), Some(at("system/bin/nvcc")));
        assert_eq!(find_nvcc(home.path(), &at("nowhere"), &none).unwrap(), Some(at(&installed)));
        assert_eq!(find_nvcc(&at("nowhere"), &at("nowhere"), &none).unwrap(), None);
        let bare = Path::new("nvcc");
        let found = find_nvcc(home.path(), &at("system"), &env(&[("NVCC", bare), ("PATH", &path)])).unwrap();
        assert_eq!(found, Some(at("path/nvcc")));
    }

    #[test]
    fn nvcc_env_naming_nothing_is_an_error() {
        let missing = Path::new("/nowhere/nvcc");
        let message = find(Path::new("/"), Choice::Auto, &env(&[("NVCC", missing)])).unwrap_err().to_string();
        assert!(message.starts_with("NVCC is /nowhere/nvcc, which is no program"), "{message}");
    }

    #[test]
    fn version_is_recorded_and_ptxas_found() {
        let home = tempfile::tempdir().unwrap();
        let nvcc = fake_toolkit(home.path(), "exit 0", "exit 0");
        let found = find(home.path(), Choice::Nvcc, &env(&[("NVCC", &nvcc)])).unwrap().unwrap();
        assert_eq!((found.version.as_str(), found.is_pinned()), ("12.4.131", false));
        fs::remove_file(&found.ptxas).unwrap();
        let message = find(home.path(), Choice::Auto, &env(&[("NVCC", &nvcc)])).unwrap_err().to_string();
        assert!(message.contains(&format!("no ptxas beside {}", nvcc.display())), "{message}");
    }

    #[test]
    fn broken_nvcc_is_named() {
        let home = tempfile::tempdir().unwrap();
        let nvcc = home.path().join("nvcc");
        program(&nvcc, "echo 'cannot load libm' >&2; exit 127");
        let message = find(home.path(), Choice::Auto, &env(&[("NVCC", &nvcc)])).unwrap_err().to_string();
        assert!(message.contains(&format!("{} --version failed", nvcc.display())), "{message}");
        assert!(message.contains("127") && message.contains("cannot load libm"), "{message}");
    }

    #[test]
    fn choices() {
        let choice = |value: &str| Choice::from_env(&env(&[("GEMMSCOPE_KERNELS", Path::new(value))]));
        assert_eq!(choice("nvcc").unwrap(), Choice::Nvcc);
        assert_eq!(choice("prebuilt").unwrap(), Choice::Prebuilt);
        assert_eq!(Choice::from_env(&env(&[])).unwrap(), Choice::Auto);
        assert_eq!(Choice::from_env(&env(&[("DOCS_RS", Path::new("1"))])).unwrap(), Choice::Prebuilt);
        let message = choice("cubin").unwrap_err().to_string();
        assert!(message.contains("GEMMSCOPE_KERNELS is \"cubin\""), "{message}");
        assert_eq!(find(Path::new("/"), Choice::Prebuilt, &env(&[])).unwrap(), None);
    }
}
