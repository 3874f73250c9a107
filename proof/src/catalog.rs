//! `kernels/catalog.toml` and the PTX beside it, as data.

use crate::text;
use flate2::read::ZlibDecoder;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct Catalog {
    kernel: Vec<Kernel>,
}

#[derive(Deserialize)]
struct Kernel {
    name: String,
    file: String,
    dtype: Names,
    layouts: Names,
    variant: Vec<Entry>,
}

/// One name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Names {
    fn first(&self) -> &str {
        match self {
            Names::One(one) => one,
            Names::Several(several) => several.first().expect("a list names something"),
        }
    }

    fn hold(&self, name: &str) -> bool {
        match self {
            Names::One(one) => one == name,
            Names::Several(several) => several.iter().any(|s| s == name),
        }
    }
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    /// Absent where the route runs other entries.
    entry: Option<String>,
    tile: [u32; 3],
    threads: u32,
    shared_bytes: u32,
    align_bytes: u32,
    align_a: Option<u32>,
    align_b: Option<u32>,
    route: Option<String>,
    cluster: Option<u32>,
    group: Option<u32>,
    dtype: Option<Names>,
    layouts: Option<Names>,
}

/// A kernel's variant with the PTX of its entry.
#[derive(Debug, Clone)]
pub struct Variant {
    /// `KERNEL/VARIANT`, as on the command line.
    pub name: String,
    /// Its symbol.
    pub entry: String,
    /// Whether the elements are BF16; else they are FP16.
    pub bf16: bool,
    /// Whether A and B are stored transposed.
    pub transposed: [bool; 2],
    /// Rows, columns and depth of a block's tile.
    pub tile: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory, in bytes.
    pub shared_bytes: u32,
    /// What rows of A and B have to start at multiples of, in bytes.
    pub align_bytes: u32,
    /// How it takes tensor maps of A, B and C beside its parameters, if it does.
    pub maps: Option<Maps>,
    /// A module of this entry alone.
    pub ptx: String,
}

/// A kernel whose operands come through tensor maps.
#[derive(Debug, Clone, Copy)]
pub struct Maps {
    /// Whether blocks stay for more than one tile.
    pub persistent: bool,
    /// Rows of tiles of a band, where the kernel asks for it.
    pub group: u32,
}

/// Where the workspace lies.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn inflate(path: &str) -> String {
    let file = root().join("kernels/prebuilt").join(path);
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut text = String::new();
    ZlibDecoder::new(&bytes[..]).read_to_string(&mut text).expect("compressed PTX");
    text
}

/// Every module that ships, an entry each, and the PTX that the emulator's own tests run; with a file name each.
///
/// # Panics
/// A file is missing or damaged.
pub fn modules() -> Vec<(String, String)> {
    let mut modules = Vec::new();
    let folder = root().join("kernels/prebuilt");
    for sub in ["gemm", "micro", "pack"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.join(sub)).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        files.sort();
        for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "z")) {
            let path = file.strip_prefix(&folder).expect("it lies there").display().to_string();
            let whole = inflate(&path);
            for entry in text::entries(&whole) {
                let only = text::only_entry(&whole, entry).expect("it was just found");
                modules.push((format!("{entry}.ptx"), only));
            }
        }
    }
    for name in ["cluster", "hopper", "mixed", "speed"] {
        let file = root().join(format!("emulator/tests/data/{name}.ptx"));
        modules.push((format!("{name}.ptx"), std::fs::read_to_string(file).expect("PTX of the emulator's tests")));
    }
    modules
}

/// The newest architecture that the emulator knows.
const NEWEST: u32 = 90;

/// The number of the architecture in a module's `.target`, such as 90 of `sm_90a`.
fn target(module: &str) -> u32 {
    let name = module.lines().find_map(|l| l.strip_prefix(".target sm_")).expect("PTX names its target");
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// Every variant of the catalogue that a single plain launch runs: route `direct` with one `GemmParams` of 72 bytes as the only parameter, and
/// routes `tma` and `persistent` without clusters, where three tensor maps follow it and rows of A and B are aligned to 16 bytes;
/// FP16 or else BF16, for a target up to `sm_90a`. Each in one form: its first type of the two, and layout nn or else the first that it has.
///
/// Variants on other routes (more launches than one, a workspace) and in other types stay out; `gemmscope verify`
/// runs those.
///
/// # Panics
/// The catalogue or a file of PTX is missing or damaged.
pub fn variants() -> &'static [Variant] {
    static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| {
        let file = root().join("kernels/catalog.toml");
        let catalog: Catalog = toml::from_str(&std::fs::read_to_string(&file).expect("the catalogue")).expect("TOML");
        let mut texts: HashMap<String, String> = HashMap::new();
        let mut variants = Vec::new();
        for kernel in catalog.kernel {
            for v in kernel.variant {
                let dtypes = v.dtype.as_ref().unwrap_or(&kernel.dtype);
                let Some(dtype) = ["f16", "bf16"].into_iter().find(|d| dtypes.hold(d)) else { continue };
                let layouts = v.layouts.as_ref().unwrap_or(&kernel.layouts);
                let layout = if layouts.hold("nn") { "nn" } else { layouts.first() };
                let named = |text: &str| text.replace("{dtype}", dtype).replace("{layout}", layout);
                let route = v.route.as_deref().unwrap_or("direct");
                let alone = v.cluster.unwrap_or(1) == 1;
                let whole_rows = [Some(v.align_bytes), v.align_a, v.align_b].into_iter().flatten().all(|a| a == 16);
                let maps = (matches!(route, "tma" | "persistent") && alone && whole_rows)
                    .then_some(Maps { persistent: route == "persistent", group: v.group.unwrap_or(0) });
                let plain = route == "direct" || maps.is_some();
                let Some(entry) = v.entry.as_deref().filter(|_| plain).map(named) else { continue };
                let path = named(&kernel.file).replace(".cu", ".ptx.z");
                let whole = texts.entry(path).or_insert_with_key(|path| inflate(path));
                let Some(ptx) = text::only_entry(whole, &entry) else { panic!("{} has no {entry}", kernel.file) };
                let params =
                    if maps.is_some() { format!("{entry}_param_3[128]\n)") } else { format!("{entry}_param_0[72]\n)") };
                if ptx.contains(&params) && target(&ptx) <= NEWEST {
                    let name = format!("{}/{}", kernel.name, v.name);
                    // Rows of halves start at multiples of 2 bytes at least.
                    let aligns = [Some(2), Some(v.align_bytes), v.align_a, v.align_b];
                    let align_bytes = aligns.into_iter().flatten().max().expect("there are two");
                    let Entry { tile, threads, shared_bytes, .. } = v;
                    let (bf16, transposed) = (dtype == "bf16", [&layout[..1], &layout[1..]].map(|t| t == "t"));
                    variants.push(Variant {
                        name,
                        entry,
                        bf16,
                        transposed,
                        tile,
                        threads,
                        shared_bytes,
                        align_bytes,
                        maps,
                        ptx,
                    });
                }
            }
        }
        variants
    });
    &VARIANTS
}
