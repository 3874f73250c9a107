//! The shape of `kernels/catalog.toml`, read by the library, by `build.rs` and by `cargo xtask kernels`.

use serde::{Deserialize, Deserializer};

/// The types that kernels may be for.
pub const DTYPES: [&str; 5] = ["f16", "bf16", "tf32", "i8", "e4m3"];
/// The layouts that kernels may take.
pub const LAYOUTS: [&str; 4] = ["nn", "nt", "tn", "tt"];
/// What may multiply.
pub const UNITS: [&str; 5] = ["simt", "wmma", "mma.sync", "wgmma", "copy"];
/// How a variant is launched; each has its file in `src/device/cuda/route/`.
pub const ROUTES: [&str; 8] = ["direct", "tma", "persistent", "absorb", "residue", "split_k", "gemv", "pack"];

/// The compute capability, times ten, in the name of an architecture such as `compute_90a`.
pub fn capability(architecture: &str) -> Option<u32> {
    architecture.split_once('_')?.1.trim_end_matches(char::is_alphabetic).parse().ok()
}

/// Reads a catalogue, and gives each variant what its kernel says for all of them.
///
/// # Errors
/// Text that is not TOML or not of this schema; the error names the line.
pub fn parse(text: &str) -> Result<Catalog, toml::de::Error> {
    let mut catalog: Catalog = toml::from_str(text)?;
    for kernel in &mut catalog.kernels {
        for variant in &mut kernel.variants {
            if variant.dtypes.is_empty() {
                variant.dtypes.clone_from(&kernel.dtypes);
            }
            if variant.layouts.is_empty() {
                variant.layouts.clone_from(&kernel.layouts);
            }
            variant.min_cc = Some(variant.min_cc.unwrap_or(kernel.min_cc));
        }
    }
    Ok(catalog)
}

/// One name, or a list of them.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(from)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

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
    /// The file that holds all its variants; `{dtype}` in it stands for the type's name, where each type has a file of its own.
    pub file: String,
    /// What it is, in a sentence.
    pub summary: String,
    /// The unit that multiplies, one of [`UNITS`]; `cpu` on the CPU.
    pub unit: String,
    /// Lowest compute capability, times ten.
    pub min_cc: u32,
    /// Types that its variants are for, unless they say otherwise.
    #[serde(rename = "dtype", deserialize_with = "names")]
    pub dtypes: Vec<String>,
    /// Layouts that its variants take, unless they say otherwise.
    #[serde(deserialize_with = "names")]
    pub layouts: Vec<String>,
    /// Its variants.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
}

/// A tile shape and alignment contract of a kernel: one compiled entry point for each type and layout that it takes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name within the kernel, such as `128x128x32-a16`.
    pub name: String,
    /// Symbol in the module, in which `{dtype}` and `{layout}` stand for their names. May be left out where `then` is given.
    #[serde(default)]
    pub entry: String,
    /// Types that it is for; the kernel's where none is given.
    #[serde(rename = "dtype", default, deserialize_with = "names")]
    pub dtypes: Vec<String>,
    /// Layouts that it takes; the kernel's where none is given.
    #[serde(default, deserialize_with = "names")]
    pub layouts: Vec<String>,
    /// Lowest compute capability, times ten; the kernel's where none is given.
    #[serde(default)]
    pub min_cc: Option<u32>,
    /// How it is launched, one of [`ROUTES`].
    #[serde(default = "direct")]
    pub route: String,
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
    /// CTAs of a cluster, in x.
    #[serde(default = "one")]
    pub cluster: u32,
    /// Tile rows of a raster band; 0 is the kernel's own choice.
    #[serde(default)]
    pub group: u32,
    /// CTAs that share the k steps of a tile; 0 where the route chooses how many, by `catalog::Shares`.
    #[serde(default = "one")]
    pub splits: u32,
    /// Bytes that a lane, or a tensor copy for it, brings in at once; what the alignment of A and B allows where none is given.
    #[serde(default)]
    pub load_bytes: Option<u32>,
    /// What the base addresses and row strides of A and B must be a multiple of, in bytes.
    pub align_bytes: u32,
    /// The same for A alone.
    #[serde(default)]
    pub align_a: Option<u32>,
    /// The same for B alone.
    #[serde(default)]
    pub align_b: Option<u32>,
    /// The same for C, which otherwise may lie at any element.
    #[serde(default)]
    pub align_c: Option<u32>,
    /// Operands (`a`, `b` or `ab`) whose contract is for their rows' distance alone: their base may lie at any element.
    #[serde(default)]
    pub free_base: Option<String>,
    /// What a CTA fetches of its tile of A: elements along K and rows of C.
    #[serde(default)]
    pub box_a: Option<[u32; 2]>,
    /// What it fetches of B: elements along K and columns of C.
    #[serde(default)]
    pub box_b: Option<[u32; 2]>,
    /// Box of C's tensor map: columns and rows.
    #[serde(default)]
    pub box_c: Option<[u32; 2]>,
    /// Smallest m.
    #[serde(default)]
    pub min_m: Option<u64>,
    /// Smallest n.
    #[serde(default)]
    pub min_n: Option<u64>,
    /// Smallest k.
    #[serde(default)]
    pub min_k: Option<u64>,
    /// Largest m.
    #[serde(default)]
    pub max_m: Option<u64>,
    /// Largest n.
    #[serde(default)]
    pub max_n: Option<u64>,
    /// Largest k.
    #[serde(default)]
    pub max_k: Option<u64>,
    /// `KERNEL/VARIANT` that multiplies what this one has packed.
    #[serde(default)]
    pub then: Option<String>,
    /// Operands that are packed first: `a`, `b` or `ab`.
    #[serde(default)]
    pub pack: Option<String>,
    /// Those of the packed operands that do not change from launch to launch: `a`, `b` or `ab`. They are packed once, when a
    /// problem is prepared, and no time counts for it.
    #[serde(default, rename = "static")]
    pub fixed: Option<String>,
}

fn direct() -> String {
    "direct".to_owned()
}

fn one() -> u32 {
    1
}

impl Kernel {
    /// The file that holds its variants for a type, by name.
    pub fn file_for(&self, dtype: &str) -> String {
        self.file.replace("{dtype}", dtype)
    }

    /// Its files, each once.
    pub fn files(&self) -> Vec<String> {
        let dtypes = self.variants.iter().flat_map(|v| &v.dtypes).chain(&self.dtypes);
        let mut files: Vec<String> = dtypes.map(|dtype| self.file_for(dtype)).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// Whether a file is one of [`Kernel::files`]. Dispatch asks this for every variant of every cell.
    pub fn has_file(&self, path: &str) -> bool {
        let mut dtypes = self.variants.iter().flat_map(|v| &v.dtypes).chain(&self.dtypes);
        // The brace is found faster than the word.
        let parts = self.file.split_once('{').and_then(|(before, rest)| Some((before, rest.strip_prefix("dtype}")?)));
        match parts {
            None => path == self.file && dtypes.next().is_some(),
            Some((before, after)) => {
                let middle = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                middle.is_some_and(|middle| dtypes.any(|dtype| dtype == middle))
            }
        }
    }
}

impl Variant {
    /// Whether it is for this type and takes this layout, both by name.
    pub fn takes(&self, dtype: &str, layout: &str) -> bool {
        self.dtypes.iter().any(|d| d == dtype) && self.layouts.iter().any(|l| l == layout)
    }

    /// The symbol for a type and layout, both by name.
    pub fn symbol(&self, dtype: &str, layout: &str) -> String {
        self.entry.replace("{dtype}", dtype).replace("{layout}", layout)
    }

    /// Its symbols, each once. Several forms share one where the entry's name leaves out what tells them apart.
    pub fn symbols(&self) -> Vec<String> {
        self.symbols_of(|_| true)
    }

    /// Its symbols for some types, by name.
    pub fn symbols_of(&self, dtype: impl Fn(&str) -> bool) -> Vec<String> {
        let dtypes = self.dtypes.iter().filter(|d| dtype(d));
        let forms = dtypes.flat_map(|d| self.layouts.iter().map(move |l| self.symbol(d, l)));
        let mut symbols: Vec<String> = forms.filter(|s| !s.is_empty()).collect();
        symbols.sort_unstable();
        symbols.dedup();
        symbols
    }

    /// Smallest and largest m, n and k.
    pub fn limits(&self) -> [(u64, u64); 3] {
        [(self.min_m, self.max_m), (self.min_n, self.max_n), (self.min_k, self.max_k)]
            .map(|(min, max)| (min.unwrap_or(0), max.unwrap_or(u64::MAX)))
    }
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
