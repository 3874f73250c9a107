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
    box_a: Option<[u32; 2]>,
    box_b: Option<[u32; 2]>,
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
    /// What rows of A, and of B, have to start at multiples of, in bytes.
    pub align_bytes: [u32; 2],
    /// How it is launched.
    pub how: How,
    /// A module of this entry alone.
    pub ptx: String,
}

/// What a variant takes beside its `GemmParams`, and what runs before or after it.
#[derive(Debug, Clone)]
pub enum How {
    /// Nothing.
    Plain,
    /// Tensor maps of A, B and C.
    Maps(Maps),
    /// Tensor maps of the residue classes of the operand that lies along K.
    Absorb(Maps),
    /// Shares of a tile's k steps, and a second launch that adds up their parts.
    Split(Half),
    /// Shares of k for up to 8 rows (columns) of C, and a second launch for their sum.
    Vectors {
        /// Whether the few are rows of C.
        rows: bool,
        /// The two launches.
        half: Half,
    },
    /// It copies A, with its rows realigned or transposed, for a variant that multiplies it then.
    Pack {
        /// Whether it transposes.
        transposes: bool,
        /// What multiplies.
        then: Box<Variant>,
    },
}

/// One of two launches, with the other's module.
#[derive(Debug, Clone)]
pub struct Half {
    /// Whether this is the second.
    pub second: bool,
    /// The other's symbol.
    pub entry: String,
    /// The other's text.
    pub ptx: String,
}

/// A kernel whose operands come through tensor maps.
#[derive(Debug, Clone, Copy)]
pub struct Maps {
    /// Whether blocks stay for more than one tile.
    pub persistent: bool,
    /// Rows of tiles of a band, where the kernel asks for it.
    pub group: u32,
    /// Blocks of a cluster.
    pub cluster: u32,
    /// Rows of A's tile, and columns of B's, that one block fetches; those of its cluster share the rest.
    pub parts: [u32; 2],
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
/// # Panics
/// The catalogue or a file of PTX is missing or damaged.
pub fn variants() -> &'static [Variant] {
    static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| all().iter().filter(|v| plain(v)).cloned().collect());
    &VARIANTS
}

/// The variants on the other routes, in the same types and layouts: clusters, operands realigned or absorbed, launches that follow one
/// another (each a variant of its own, the second with `+sum` behind its name), and the kernels that pack 16-bit elements, as
/// `pack/restride` and `pack/transpose`.
///
/// # Panics
/// As [`variants`].
pub fn routed() -> &'static [Variant] {
    static ROUTED: LazyLock<Vec<Variant>> = LazyLock::new(|| {
        let mut routed: Vec<Variant> = all().iter().filter(|v| !plain(v)).cloned().collect();
        let then = variants().iter().find(|v| v.name == "04_mma/64x64x32-a16").expect("rung 4");
        for (name, transposes) in [("restride", false), ("transpose", true)] {
            let (entry, whole) = (format!("pack_{name}_16"), inflate(&format!("pack/{name}.ptx.z")));
            let ptx = text::only_entry(&whole, &entry).expect("it packs 16-bit elements");
            let (name, threads) = (format!("pack/{name}"), if transposes { 128 } else { 256 });
            let how = How::Pack { transposes, then: Box::new(then.clone()) };
            let (align_bytes, transposed, shared_bytes) = ([2, then.align_bytes[1]], [transposes, false], 0);
            routed.push(Variant {
                name,
                entry,
                threads,
                shared_bytes,
                align_bytes,
                transposed,
                how,
                ptx,
                ..then.clone()
            });
        }
        routed
    });
    &ROUTED
}

fn plain(variant: &Variant) -> bool {
    match variant.how {
        How::Plain => true,
        How::Maps(maps) => maps.cluster == 1 && variant.align_bytes == [16, 16],
        _ => false,
    }
}

/// Every variant of the catalogue with launches of its own.
fn all() -> &'static [Variant] {
    static ALL: LazyLock<Vec<Variant>> = LazyLock::new(|| {
        let file = root().join("kernels/catalog.toml");
        let catalog: Catalog = toml::from_str(&std::fs::read_to_string(&file).expect("the catalogue")).expect("TOML");
        let mut texts: HashMap<String, String> = HashMap::new();
        catalog
            .kernel
            .iter()
            .flat_map(|k| k.variant.iter().flat_map(|v| launches(k, v, &mut texts)).collect::<Vec<_>>())
            .collect()
    });
    &ALL
}

/// A variant of the catalogue: one for each of its launches, none where it packs or has no type or architecture that counts here.
fn launches(kernel: &Kernel, v: &Entry, texts: &mut HashMap<String, String>) -> Vec<Variant> {
    let dtypes = v.dtype.as_ref().unwrap_or(&kernel.dtype);
    let Some(dtype) = ["f16", "bf16"].into_iter().find(|d| dtypes.hold(d)) else { return Vec::new() };
    let layouts = v.layouts.as_ref().unwrap_or(&kernel.layouts);
    let layout = if layouts.hold("nn") { "nn" } else { layouts.first() };
    let named = |text: &str| text.replace("{dtype}", dtype).replace("{layout}", layout);
    let Some(mut entry) = v.entry.as_deref().map(named) else { return Vec::new() };
    let [tile_m, tile_n, _] = v.tile;
    let (name, route) = (format!("{}/{}", kernel.name, v.name), v.route.as_deref().unwrap_or("direct"));
    let maps = Maps {
        persistent: route != "tma",
        group: v.group.unwrap_or(0),
        cluster: v.cluster.unwrap_or(1),
        parts: [(v.box_a, tile_m), (v.box_b, tile_n)].map(|(part, whole)| part.map_or(whole, |[_, rows]| rows)),
    };
    // What follows a launch, if anything does, and whether a variant's few vectors are rows.
    let rows = v.name.starts_with('m');
    let (how, params, sum) = match route {
        "direct" => (How::Plain, "_param_0[72]", None),
        "tma" | "persistent" => (How::Maps(maps), "_param_3[128]", None),
        "absorb" => (How::Absorb(maps), "_param_1[2304]", None),
        "split_k" => (How::Plain, "_param_1[24]", Some(format!("gemm_split_k_sum_{tile_m}x{tile_n}_{dtype}"))),
        "gemv" => {
            // In layout nn, B does not lie along K, and A does.
            entry = format!("gemv_{}_{dtype}", if rows { "axpy" } else { "dot" });
            (How::Plain, "_param_1[24]", Some(format!("gemv_sum_{dtype}")))
        }
        _ => return Vec::new(),
    };
    let path = named(&kernel.file).replace(".cu", ".ptx.z");
    let whole = texts.entry(path).or_insert_with_key(|path| inflate(path));
    let of = |entry: &str| text::only_entry(whole, entry).unwrap_or_else(|| panic!("{} has no {entry}", kernel.file));
    let ptx = of(&entry);
    if !ptx.contains(&format!("{entry}{params}\n)")) || target(&ptx) > NEWEST {
        return Vec::new();
    }
    // Rows of halves start at multiples of 2 bytes at least.
    let align_bytes = [v.align_a, v.align_b].map(|own| own.unwrap_or(v.align_bytes).max(2));
    let Entry { tile, threads, shared_bytes, .. } = *v;
    let (bf16, transposed) = (dtype == "bf16", [&layout[..1], &layout[1..]].map(|t| t == "t"));
    let first = Variant { name, entry, bf16, transposed, tile, threads, shared_bytes, align_bytes, how, ptx };
    let Some(sum) = sum else { return vec![first] };
    let second = of(&sum);
    let half = |second: bool, entry: &str, ptx: &str| {
        let half = Half { second, entry: entry.to_owned(), ptx: ptx.to_owned() };
        if route == "gemv" { How::Vectors { rows, half } } else { How::Split(half) }
    };
    vec![
        Variant { how: half(false, &sum, &second), ..first.clone() },
        Variant {
            name: format!("{}+sum", first.name),
            how: half(true, &first.entry, &first.ptx),
            entry: sum,
            ptx: second,
            ..first
        },
    ]
}
