//! The catalogue's files, compiled: PTX with nvcc, and cubins with ptxas from that same PTX.

use super::schema::{Catalog, SourceFile};
use super::sources::{self, Promise};
use super::toolchain::{Toolchain, quiet};
use super::{Error, ptx, ptxas};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// One compiled file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Path of the source below `kernels/`.
    pub file: String,
    /// The PTX text, the same on every machine.
    pub ptx: String,
    /// Architecture and zlib-compressed cubin.
    pub cubins: Vec<(String, Vec<u8>)>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Images {
    /// In the catalogue's order.
    pub images: Vec<Image>,
    /// Architectures that this nvcc does not know, with the files that go without their cubin.
    pub unknown_architectures: BTreeSet<String>,
}

/// Compiled things by the hash of what they are made of, shared by the builds of one target folder: debug and release,
/// each feature set and `cargo xtask` would otherwise all compile the same kernels.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache below a folder; the folder need not exist.
    pub fn below(target: &Path) -> Self {
        Self { folder: target.join("kernel-cache") }
    }

    /// What was put there under this name.
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(key)).ok()
    }

    /// A cache that cannot be written only costs time, so that this does not fail.
    pub(super) fn put(&self, key: &str, bytes: &[u8]) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("{key}.{}.{unique}", std::process::id()));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(&partial, bytes))
            .and_then(|()| fs::rename(&partial, self.folder.join(key)));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
    }
}

/// How to compile.
#[derive(Debug)]
pub struct Compiler<'a> {
    /// The workspace's root: nvcc runs there with relative paths.
    pub root: &'a Path,
    /// With what.
    pub toolchain: &'a Toolchain,
    /// A folder for files in between.
    pub scratch: &'a Path,
    /// What earlier builds made.
    pub cache: &'a Cache,
    /// Compile the PTX even where the cache has it.
    pub fresh_ptx: bool,
}

const NVCC_FLAGS: [&str; 4] = ["-O3", "-lineinfo", "-std=c++17", "-Ikernels"];
const PTXAS_FLAGS: [&str; 2] = ["-v", "-O3"];

impl Compiler<'_> {
    /// Compiles every file of the catalogue.
    ///
    /// # Errors
    /// nvcc's or ptxas's own message; entries that are missing or not listed; spills and the like.
    pub fn compile(&self, catalog: &Catalog) -> Result<Images, Error> {
        fs::create_dir_all(self.scratch).map_err(Error::io("creating", self.scratch))?;
        let texts = in_parallel(&catalog.files, |file| self.ptx(catalog, file))?;
        let jobs: Vec<(usize, &String)> = catalog
            .files
            .iter()
            .enumerate()
            .flat_map(|(i, file)| file.cubins.iter().map(move |arch| (i, arch)))
            .collect();
        let cubins = in_parallel(&jobs, |&(i, arch)| {
            let file = &catalog.files[i].path;
            self.cubin(file, &texts[i], arch, &sources::promises(catalog, file))
        })?;

        let mut out = Images::default();
        for (file, ptx) in catalog.files.iter().zip(texts) {
            out.images.push(Image { file: file.path.clone(), ptx, cubins: Vec::new() });
        }
        for ((i, arch), cubin) in jobs.into_iter().zip(cubins) {
            match cubin {
                Some(cubin) => out.images[i].cubins.push((arch.clone(), cubin)),
                None => drop(out.unknown_architectures.insert(arch.clone())),
            }
        }
        Ok(out)
    }

    /// The PTX of a file, checked against the catalogue.
    fn ptx(&self, catalog: &Catalog, file: &SourceFile) -> Result<String, Error> {
        let inputs = sources::with_includes(self.root, &file.path)?;
        let inputs = sources::hash(self.root, inputs.iter().map(String::as_str))?;
        let Toolchain { nvcc, version, .. } = self.toolchain;
        let key = format!("{inputs} {} {} {version} {} {NVCC_FLAGS:?}", file.path, file.ptx_arch, nvcc.display());
        let key = sources::sha256(key.as_bytes()) + ".ptx";

        let cached = if self.fresh_ptx { None } else { self.cache.get(&key) };
        let text = match cached.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => text,
            None => {
                let text = self.run_nvcc(file)?;
                self.cache.put(&key, text.as_bytes());
                text
            }
        };
        if ptx::version(&text).is_none() {
            return Err(Error::NoVersion(file.path.clone()));
        }
        check_entries(&file.path, &text, &sources::promises(catalog, &file.path))?;
        Ok(text)
    }

    fn run_nvcc(&self, file: &SourceFile) -> Result<String, Error> {
        let Toolchain { nvcc, version, .. } = self.toolchain;
        let out = self.scratch.join(file.path.replace('/', "-")).with_extension("ptx");
        let output = quiet(nvcc)
            .current_dir(self.root)
            .arg("-ptx")
            .arg(format!("-arch={}", file.ptx_arch))
            .args(NVCC_FLAGS)
            .arg(format!("kernels/{}", file.path))
            .arg("-o")
            .arg(&out)
            .output()
            .map_err(Error::io("starting", nvcc))?;
        let said = words(&output);
        if !output.status.success() {
            let no_host = ["No such file or directory", "not found", "Failed to preprocess host compiler"];
            let host = ["gcc", "g++", "cc1plus", "host compiler", "cl.exe"];
            if said.lines().any(|l| no_host.iter().any(|n| l.contains(n)) && host.iter().any(|h| l.contains(h))) {
                return Err(Error::NoHostCompiler { nvcc: nvcc.clone(), said });
            }
            let tool = format!("nvcc {version} for {} ({})", file.ptx_arch, nvcc.display());
            return Err(Error::Compiler { tool, file: file.path.clone(), said });
        }
        let text = fs::read_to_string(&out).map_err(Error::io("reading", &out))?;
        // nvcc writes the working folder as the system spells it, which may be without a link on the way.
        let real = self.root.canonicalize().unwrap_or_else(|_| self.root.to_owned());
        Ok(ptx::normalize(&text, &[self.root, &real]))
    }

    /// The compressed cubin, or `None` where this ptxas does not know the architecture.
    fn cubin(&self, file: &str, text: &str, arch: &str, promises: &[Promise]) -> Result<Option<Vec<u8>>, Error> {
        let Toolchain { ptxas, version, .. } = self.toolchain;
        let limits: Vec<_> = promises.iter().map(|p| (&p.entry, p.registers_max)).collect();
        let key = format!(
            "{} {arch} {version} {} {PTXAS_FLAGS:?} {limits:?}",
            sources::sha256(text.as_bytes()),
            ptxas.display()
        );
        let key = sources::sha256(key.as_bytes()) + ".cubin.z";
        if let Some(cubin) = self.cache.get(&key) {
            return Ok(Some(cubin));
        }

        let stem = format!("{}-{arch}", file.replace('/', "-"));
        let (ptx, out) = (self.scratch.join(stem.clone() + ".ptx"), self.scratch.join(stem + ".cubin"));
        fs::write(&ptx, text).map_err(Error::io("writing", &ptx))?;
        let output = quiet(ptxas)
            .args(PTXAS_FLAGS)
            .arg(format!("-arch={arch}"))
            .arg(&ptx)
            .arg("-o")
            .arg(&out)
            .output()
            .map_err(Error::io("starting", ptxas))?;
        let said = words(&output);
        if !output.status.success() {
            if said.contains("is not defined for option 'gpu-name'") {
                return Ok(None);
            }
            let tool = format!("ptxas {version} for {arch} ({})", ptxas.display());
            return Err(Error::Compiler { tool, file: file.to_owned(), said });
        }
        let faults = ptxas::faults(&ptxas::parse(&said), arch, promises);
        if !faults.is_empty() {
            return Err(Error::Faults { file: file.to_owned(), faults });
        }
        let cubin = compress(&fs::read(&out).map_err(Error::io("reading", &out))?);
        self.cache.put(&key, &cubin);
        Ok(Some(cubin))
    }
}

/// The catalogue and the PTX must have the same entries.
fn check_entries(file: &str, text: &str, promises: &[Promise]) -> Result<(), Error> {
    let made = ptx::entries(text);
    let listed: BTreeSet<&str> = promises.iter().map(|p| p.entry.as_str()).collect();
    let missing = listed
        .difference(&made)
        .map(|e| format!("kernels/{file} defines no entry {e:?}; correct the name or the file"));
    let unlisted =
        made.difference(&listed).map(|e| format!("the entry {e:?} of kernels/{file} is not listed; add or remove it"));
    let problems: Vec<String> = missing.chain(unlisted).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Catalog(problems)) }
}

/// Both streams of a finished command.
fn words(output: &std::process::Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = format!("{out}{err}").trim().to_owned();
    if said.is_empty() { output.status.to_string() } else { said }
}

/// zlib at its best level.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes all bytes")
}

/// Maps in as many threads as there are cores; the first error in the list's order wins.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<R, Error>>>> = Mutex::new(items.iter().map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from).min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    results.lock().expect("no thread panics with the lock")[index] = Some(result);
                }
            });
        }
    });
    results.into_inner().expect("all threads are done").into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CATALOG, fake_toolkit, tree};
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read;
    use tempfile::TempDir;

    /// Stands in for nvcc: keeps its arguments, and writes the entries of [`CATALOG`] as PTX.
    const NVCC: &str = "echo \"$PWD $*\" >> $LOG/nvcc.log
        printf '// banner\\n.version 8.4\\n.visible .entry gemm(\\n.visible .entry fill(\\n' > $out
        echo \"\t.file\t1 \\\"$PWD/kernels/a.cu\\\"\" >> $out";
    /// Stands in for ptxas: keeps its arguments, and writes what it was given.
    const PTXAS: &str = "echo \"$*\" >> $LOG/ptxas.log; for a; do case $a in *.ptx) cat $a > $out;; esac; done";

    struct Bench {
        root: TempDir,
        home: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                root: tree(&[
                    ("catalog.toml", CATALOG),
                    ("a.cu", "#include \"tile/b.cuh\"\n"),
                    ("tile/b.cuh", ""),
                    ("c.cuh", ""),
                ]),
                home: tempfile::tempdir().unwrap(),
            }
        }

        fn compile(&self, nvcc: &str, ptxas: &str) -> Result<Images, Error> {
            let log = format!("LOG={}\n", self.home.path().display());
            let nvcc = fake_toolkit(self.home.path(), &(log.clone() + nvcc), &(log + ptxas));
            let toolchain = Toolchain::at(nvcc, &|_| None)?;
            let catalog = sources::catalog(self.root.path())?;
            let (scratch, cache) = (self.home.path().join("scratch"), Cache::below(self.home.path()));
            let compiler = Compiler {
                root: self.root.path(),
                toolchain: &toolchain,
                scratch: &scratch,
                cache: &cache,
                fresh_ptx: false,
            };
            compiler.compile(&catalog)
        }

        fn log(&self, tool: &str) -> Vec<String> {
            let log = fs::read_to_string(self.home.path().join(format!("{tool}.log"))).unwrap_or_default();
            log.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn cubins_come_from_the_normal_ptx() {
        let bench = Bench::new();
        let images = bench.compile(NVCC, PTXAS).unwrap();
        let image = &images.images[0];
        let ptx = ".version 8.4\n.visible .entry gemm(\n.visible .entry fill(\n\t.file\t1 \"kernels/a.cu\"\n";
        assert_eq!((image.file.as_str(), image.ptx.as_str()), ("a.cu", ptx));
        assert_eq!(image.cubins.iter().map(|(arch, _)| arch.as_str()).collect::<Vec<_>>(), ["sm_80", "sm_90a"]);
        for (_, cubin) in &image.cubins {
            let mut text = String::new();
            ZlibDecoder::new(cubin.as_slice()).read_to_string(&mut text).unwrap();
            assert_eq!(text, ptx);
        }
        let nvcc = bench.log("nvcc").join("\n");
        assert!(nvcc.contains("-ptx -arch=compute_80 -O3 -lineinfo -std=c++17 -Ikernels kernels/a.cu -o "), "{nvcc}");
        let mut ptxas = bench.log("ptxas");
        ptxas.sort();
        assert!(
            ptxas[0].starts_with("-v -O3 -arch=sm_80 ") && ptxas[1].starts_with("-v -O3 -arch=sm_90a "),
            "{ptxas:?}"
        );
    }

    #[test]
    fn only_what_changed_is_compiled_again() {
        let bench = Bench::new();
        let runs = |bench: &Bench| (bench.log("nvcc").len(), bench.log("ptxas").len());
        bench.compile(NVCC, PTXAS).unwrap();
        bench.compile(NVCC, PTXAS).unwrap();
        assert_eq!(runs(&bench), (1, 2));
        // A header of other files.
        fs::write(bench.root.path().join("kernels/c.cuh"), "// a comment").unwrap();
        bench.compile(NVCC, PTXAS).unwrap();
        assert_eq!(runs(&bench), (1, 2));
        // The same PTX comes out, so that there is nothing to assemble.
        fs::write(bench.root.path().join("kernels/tile/b.cuh"), "// a comment").unwrap();
        bench.compile(NVCC, PTXAS).unwrap();
        assert_eq!(runs(&bench), (2, 2));
        let catalog = CATALOG.replace("registers_max = 128", "registers_max = 64");
        fs::write(bench.root.path().join("kernels/catalog.toml"), catalog).unwrap();
        bench.compile(NVCC, PTXAS).unwrap();
        assert_eq!(runs(&bench), (2, 4));
    }

    #[test]
    fn syntax_error_carries_nvccs_words() {
        let said = "kernels/a.cu(3): error: expected a \";\"";
        let error = Bench::new().compile(&format!("echo '{said}' >&2; exit 2"), PTXAS).unwrap_err().to_string();
        assert!(error.starts_with("nvcc 12.4.131 for compute_80 (") && error.ends_with(said), "{error}");
    }

    #[test]
    fn missing_gcc_names_the_remedy() {
        let script = "echo 'sh: 1: gcc: not found' >&2; echo 'nvcc fatal: Failed to preprocess host compiler properties.' >&2; exit 1";
        let error = Bench::new().compile(script, PTXAS).unwrap_err().to_string();
        assert!(error.contains("needs a host compiler: sh: 1: gcc: not found"), "{error}");
        assert!(error.contains("Install gcc"), "{error}");
    }

    #[test]
    fn missing_header_is_not_a_missing_gcc() {
        let script = "echo 'kernels/a.cu:1:10: fatal error: b.h: No such file or directory' >&2; exit 1";
        let error = Bench::new().compile(script, PTXAS).unwrap_err();
        assert!(matches!(error, Error::Compiler { .. }), "{error}");
    }

    #[test]
    fn spill_fails_every_time() {
        let bench = Bench::new();
        let ptxas = format!(
            "{PTXAS}\ncase \"$*\" in *sm_90a*) n=16;; *) n=0;; esac\n\
             echo \"ptxas info : Compiling entry function 'gemm' for 'sm_90a'\" >&2\n\
             echo \"ptxas info : Function properties for gemm\" >&2\n\
             echo \"    0 bytes stack frame, $n bytes spill stores, $n bytes spill loads\" >&2\n\
             echo \"ptxas info : Used 96 registers, used 1 barriers\" >&2"
        );
        for _ in 0..2 {
            let error = bench.compile(NVCC, &ptxas).unwrap_err().to_string();
            let start =
                "kernels/a.cu: gemm for sm_90a spills at 96 registers: 16 bytes of stores and 16 bytes of loads";
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn entries_and_catalog_agree() {
        let nvcc = NVCC.replace("entry fill", "entry full");
        let error = Bench::new().compile(&nvcc, PTXAS).unwrap_err().to_string();
        assert!(error.contains("kernels/a.cu defines no entry \"fill\""), "{error}");
        assert!(error.contains("the entry \"full\" of kernels/a.cu is not listed"), "{error}");
    }

    #[test]
    fn unknown_architecture_goes_without() {
        let ptxas = format!(
            "case \"$*\" in *sm_90a*) echo \"ptxas fatal : Value 'sm_90a' is not defined for option 'gpu-name'\" >&2; exit 1;; \
             esac\n{PTXAS}"
        );
        let images = Bench::new().compile(NVCC, &ptxas).unwrap();
        assert_eq!(images.unknown_architectures, BTreeSet::from(["sm_90a".to_owned()]));
        assert_eq!(images.images[0].cubins.len(), 1);
    }

    #[test]
    fn ptxas_errors_carry_its_words() {
        let error = Bench::new()
            .compile(NVCC, "echo 'ptxas a.ptx, line 5; fatal : bad' >&2; exit 255")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("ptxas 12.4.131 for sm_80 (") && error.ends_with("line 5; fatal : bad"), "{error}");
    }
}
