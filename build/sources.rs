//! The files below `kernels/`: their list, their hash, and the catalogue that must agree with them.

use super::Error;
use super::sass::{self, Need};
use super::schema::{self, Catalog, Kernel, Variant};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The source files below `root/kernels/`, as sorted paths with `/` between their parts. `prebuilt/`, hidden files and
/// editors' backups (`name~`) are no sources.
///
/// # Errors
/// A folder that cannot be read.
pub fn list(root: &Path) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    let kernels = root.join("kernels");
    let mut folders = vec![(kernels.clone(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let entry = entry.map_err(Error::io("reading", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name.ends_with('~') || (prefix.is_empty() && name == "prebuilt") {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.path().is_dir() {
                folders.push((entry.path(), path + "/"));
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A file below `root/kernels/` with Unix line ends, whatever git made of them.
fn read(root: &Path, file: &str) -> Result<Vec<u8>, Error> {
    let path = root.join("kernels").join(file);
    let bytes = fs::read(&path).map_err(Error::io("reading", &path))?;
    let mut unix = Vec::with_capacity(bytes.len());
    for (i, &byte) in bytes.iter().enumerate() {
        if byte != b'\r' || bytes.get(i + 1) != Some(&b'\n') {
            unix.push(byte);
        }
    }
    Ok(unix)
}

/// SHA-256 over the paths and contents of `files`, in hexadecimal. Line ends and the order of the list do not matter.
///
/// # Errors
/// A file that cannot be read.
pub fn hash<'a>(root: &Path, files: impl IntoIterator<Item = &'a str>) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    for file in files.into_iter().collect::<BTreeSet<_>>() {
        let bytes = read(root, file)?;
        // The lengths keep a path's end from being taken for a content's beginning.
        hasher.update(format!("{} {}\n{file}\n", file.len(), bytes.len()));
        hasher.update(&bytes);
    }
    Ok(hex(hasher.finalize().as_slice()))
}

/// A source and all that it includes below `root/kernels/`, directly or not: every `#include "..."` line counts, also one that the
/// preprocessor would leave out. What is not there comes from elsewhere.
///
/// # Errors
/// A file that cannot be read.
pub fn with_includes(root: &Path, file: &str) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut open = vec![file.to_owned()];
    while let Some(source) = open.pop() {
        let text = read(root, &source)?;
        let folder = source.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for line in String::from_utf8_lossy(&text).lines() {
            let Some(rest) = line.trim_start().strip_prefix('#') else { continue };
            let Some(rest) = rest.trim_start().strip_prefix("include") else { continue };
            let Some(name) = rest.trim_start().strip_prefix('"').and_then(|r| r.split('"').next()) else { continue };
            // Beside the file that includes it, or from the folder that nvcc is told of.
            let places = [format!("{folder}{name}"), name.to_owned()];
            let here = places.into_iter().find(|place| root.join("kernels").join(place).is_file());
            open.extend(here.filter(|place| !found.contains(place)));
        }
        found.insert(source);
    }
    Ok(found)
}

/// The hash of the whole source set, as `kernels/prebuilt/manifest.toml` records it.
///
/// # Errors
/// As [`list`] and [`hash`].
pub fn hash_all(root: &Path) -> Result<String, Error> {
    let files = list(root)?;
    hash(root, files.iter().map(String::as_str))
}

/// Reads `kernels/catalog.toml` and compares it with the folder.
///
/// # Errors
/// Text that is no catalogue, and everything that [`problems`] finds.
pub fn catalog(root: &Path) -> Result<Catalog, Error> {
    let path = root.join("kernels/catalog.toml");
    let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    let catalog: Catalog = schema::parse(&text).map_err(|e| Error::CatalogText(e.to_string()))?;
    let problems = problems(&catalog, &list(root)?);
    if problems.is_empty() { Ok(catalog) } else { Err(Error::Catalog(problems)) }
}

/// What is wrong with a catalogue, given the source files that exist: one sentence each.
pub fn problems(catalog: &Catalog, sources: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if catalog.schema != 1 {
        problems.push(format!("schema is {}; this program reads 1", catalog.schema));
    }

    let mut files = BTreeSet::new();
    for file in &catalog.files {
        if !files.insert(file.path.as_str()) {
            problems.push(format!("[[file]] {:?} is listed twice; remove one", file.path));
        }
        if !sources.contains(&file.path) {
            problems.push(format!("[[file]] {:?} does not exist below kernels/; correct the path", file.path));
        }
        if !file.ptx_arch.starts_with("compute_") {
            problems.push(format!("{:?} has ptx_arch {:?}; it must be like compute_80", file.path, file.ptx_arch));
        }
        for cubin in file.cubins.iter().filter(|c| !c.starts_with("sm_")) {
            problems.push(format!("{:?} has the cubin {cubin:?}; it must be like sm_90a", file.path));
        }
    }
    for source in sources.iter().filter(|s| s.ends_with(".cu") && !files.contains(s.as_str())) {
        problems
            .push(format!("{source:?} exists and has no [[file]]; add one, or name it .cuh if it is only included"));
    }

    let mut kernels = BTreeSet::new();
    let mut entries = BTreeSet::new();
    let mut used = BTreeSet::new();
    for kernel in &catalog.kernels {
        if !kernels.insert(&kernel.name) {
            problems.push(format!("the kernel name {:?} is given twice; rename one", kernel.name));
        }
        for file in kernel.files().iter().filter(|file| !files.contains(file.as_str())) {
            problems.push(format!("kernel {:?} names the file {file:?}, which has no [[file]]", kernel.name));
        }
        if !schema::UNITS.contains(&kernel.unit.as_str()) {
            let known = schema::UNITS.join(", ");
            problems
                .push(format!("kernel {:?} has the unit {:?}; it must be one of {known}", kernel.name, kernel.unit));
        }
        if kernel.variants.is_empty() {
            problems.push(format!("kernel {:?} has no variant", kernel.name));
        }
        let mut variants = BTreeSet::new();
        for variant in &kernel.variants {
            if !variants.insert(&variant.name) {
                problems.push(format!("kernel {:?} has two variants {:?}; rename one", kernel.name, variant.name));
            }
            for symbol in variant.symbols() {
                if !entries.insert((kernel.file.clone(), symbol.clone())) {
                    problems.push(format!("the entry {symbol:?} of {:?} is listed twice", kernel.file));
                }
            }
            let name = format!("variant \"{}/{}\"", kernel.name, variant.name);
            problems
                .extend(variant_problems(catalog, kernel, variant).into_iter().map(|what| format!("{name} {what}")));
        }
        used.extend(kernel.files());
    }
    for helper in &catalog.helpers {
        if !files.contains(helper.file.as_str()) {
            problems.push(format!("helper {:?} names the file {:?}, which has no [[file]]", helper.entry, helper.file));
        }
        if !entries.insert((helper.file.clone(), helper.entry.clone())) {
            problems.push(format!("the entry {:?} of {:?} is listed twice", helper.entry, helper.file));
        }
        used.insert(helper.file.clone());
    }
    for file in files.iter().filter(|file| !used.contains(**file)) {
        problems.push(format!("[[file]] {file:?} has no kernel and no helper; list its entries or remove it"));
    }
    problems
}

/// What is wrong with one variant, to be read after its name.
fn variant_problems(catalog: &Catalog, kernel: &Kernel, variant: &Variant) -> Vec<String> {
    let mut problems = Vec::new();
    let mut known = |what: &str, values: &[String], names: &[&str]| {
        for value in values.iter().filter(|v| !names.contains(&v.as_str())) {
            problems.push(format!("has the {what} {value:?}; it must be one of {}", names.join(", ")));
        }
        if values.is_empty() {
            problems.push(format!("has no {what}; name at least one of {}", names.join(", ")));
        }
    };
    known("dtype", &variant.dtypes, &schema::DTYPES);
    known("layout", &variant.layouts, &schema::LAYOUTS);
    known("route", std::slice::from_ref(&variant.route), &schema::ROUTES);
    if let Some(free) = &variant.free_base {
        known("free_base", std::slice::from_ref(free), &["a", "b", "ab"]);
    }
    if let Some(pack) = &variant.pack {
        known("pack", std::slice::from_ref(pack), &["a", "b", "ab"]);
    }
    if let Some(fixed) = &variant.fixed {
        known("static", std::slice::from_ref(fixed), &["a", "b", "ab"]);
    }

    if variant.tile.contains(&0) || variant.stages == 0 {
        problems.push(format!("has the tile {:?} in {} stages; each must be at least 1", variant.tile, variant.stages));
    }
    if !(1..=1024).contains(&variant.threads) || !variant.threads.is_multiple_of(32) {
        problems.push(format!("has {} threads; a CTA has a multiple of 32, 1024 at most", variant.threads));
    }
    let aligns = [
        ("align_bytes", Some(variant.align_bytes)),
        ("align_a", variant.align_a),
        ("align_b", variant.align_b),
        ("align_c", variant.align_c),
    ];
    for (name, bytes) in aligns {
        if let Some(bytes) = bytes
            && (!bytes.is_power_of_two() || bytes > 4096)
        {
            problems.push(format!("has {name} = {bytes}; it must be a power of two from 1 to 4096"));
        }
    }
    for (name, sides) in [("box_a", variant.box_a), ("box_b", variant.box_b), ("box_c", variant.box_c)] {
        if sides.is_some_and(|sides| sides.iter().any(|side| !(1..=256).contains(side))) {
            problems.push(format!("has {name} = {sides:?}; a side of a tensor map's box is from 1 to 256 elements"));
        }
    }
    for (name, (min, max)) in ["m", "n", "k"].into_iter().zip(variant.limits()) {
        if min > max {
            problems.push(format!("has min_{name} = {min} above max_{name} = {max}; no problem can have both"));
        }
    }

    let min_cc = variant.min_cc.unwrap_or(kernel.min_cc);
    if !variant.cluster.is_power_of_two() || variant.cluster > 16 {
        problems.push(format!("has cluster = {}; it must be 1, 2, 4, 8 or 16", variant.cluster));
    } else if variant.cluster > 1 && min_cc < 90 {
        problems.push(format!("has cluster = {} and min_cc = {min_cc}; clusters need 90", variant.cluster));
    }
    let arch = catalog.files.iter().find(|f| kernel.files().contains(&f.path)).map(|f| f.ptx_arch.as_str());
    if let Some(cc) = arch.and_then(schema::capability)
        && min_cc < cc
    {
        problems
            .push(format!("has min_cc = {min_cc}, and its file's PTX is for {cc}; raise the one or lower the other"));
    }
    if variant.entry.is_empty() && variant.then.is_none() {
        problems.push("has neither an entry nor a variant to run then; give one".to_owned());
    }
    if let Some(then) = &variant.then {
        let mut all = catalog.kernels.iter().flat_map(|k| k.variants.iter().map(move |v| (k, v)));
        let found = all.find(|(k, v)| *then == format!("{}/{}", k.name, v.name));
        match found {
            None => problems.push(format!("runs then {then:?}, which is no KERNEL/VARIANT of this file")),
            Some((_, v)) if v.then.is_some() => {
                problems.push(format!("runs then {then:?}, which runs another one itself; name that one"));
            }
            Some(_) => {}
        }
    }
    problems
}

/// An entry that the catalogue promises in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Symbol in the module.
    pub entry: String,
    /// Highest register count per thread that its launch bounds allow.
    pub registers_max: Option<u32>,
    /// Instructions that its machine code must hold.
    pub needs: Vec<Need>,
}

/// The entries that the catalogue lists for a file.
pub fn promises(catalog: &Catalog, file: &str) -> Vec<Promise> {
    let mut promises: Vec<Promise> = Vec::new();
    for kernel in &catalog.kernels {
        for variant in &kernel.variants {
            for dtype in variant.dtypes.iter().filter(|dtype| kernel.file_for(dtype) == file) {
                let needs = sass::needs(kernel, variant, dtype);
                for entry in variant.symbols_of(|d| d == dtype) {
                    // Types share an entry where its name leaves them out.
                    if promises.iter().all(|p| p.entry != entry) {
                        let (registers_max, needs) = (variant.registers_max, needs.clone());
                        promises.push(Promise { entry, registers_max, needs });
                    }
                }
            }
        }
    }
    let helpers = catalog.helpers.iter().filter(|h| h.file == file);
    promises.extend(helpers.map(|h| Promise { entry: h.entry.clone(), registers_max: None, needs: Vec::new() }));
    promises
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CATALOG, tree};
    use super::*;

    #[test]
    fn hash_ignores_line_ends_prebuilt_and_backups() {
        let unix = tree(&[("a.cu", "one\ntwo\n"), ("ptx/b.cuh", "x")]);
        let before = hash_all(unix.path()).unwrap();
        let windows =
            tree(&[("ptx/b.cuh", "x"), ("a.cu", "one\r\ntwo\r\n"), ("prebuilt/m", "1"), (".b.swp", ""), ("a.cu~", "")]);
        assert_eq!(before, hash_all(windows.path()).unwrap());
    }

    #[test]
    fn hash_sees_paths_contents_and_lone_carriage_returns() {
        let hashes: BTreeSet<String> = [
            tree(&[("a.cu", "one"), ("b.cu", "two")]),
            tree(&[("a.cu", "one"), ("c.cu", "two")]),
            tree(&[("a.cu", "onetwo"), ("b.cu", "")]),
            tree(&[("a.cu", "on\re"), ("b.cu", "two")]),
            tree(&[("a.cu", "one"), ("d/prebuilt/b.cu", "two")]),
        ]
        .iter()
        .map(|t| hash_all(t.path()).unwrap())
        .collect();
        assert_eq!(hashes.len(), 5);
    }

    #[test]
    fn hash_of_a_known_tree() {
        // Pinned: prebuilt manifests in the wild carry such hashes.
        let tree = tree(&[("a.cu", "one\n")]);
        assert_eq!(hash_all(tree.path()).unwrap(), sha256(b"4 4\na.cu\none\n"));
    }

    #[test]
    fn includes_are_followed_from_file_to_file() {
        let tree = tree(&[
            ("gemm/a.cu", "#include \"a.cuh\"\n  #  include \"tile/x.cuh\"\n#include <tile/no.cuh>\n// #include\n"),
            ("gemm/a.cuh", "#include \"cuda_fp16.h\"\n"),
            ("tile/x.cuh", "#include \"y.cuh\"\n"),
            ("tile/y.cuh", "#include \"tile/x.cuh\"\n"),
            ("tile/no.cuh", ""),
            ("a.cuh", ""),
        ]);
        let found = with_includes(tree.path(), "gemm/a.cu").unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), ["gemm/a.cu", "gemm/a.cuh", "tile/x.cuh", "tile/y.cuh"]);
    }

    #[test]
    fn a_good_catalog_has_no_problems() {
        let tree = tree(&[("catalog.toml", CATALOG), ("a.cu", "")]);
        let catalog = catalog(tree.path()).unwrap();
        let promised = promises(&catalog, "a.cu");
        assert_eq!(
            promised,
            [
                Promise { entry: "gemm".to_owned(), registers_max: Some(128), needs: vec![] },
                Promise { entry: "fill".to_owned(), registers_max: None, needs: vec![] }
            ]
        );
    }

    #[test]
    fn catalog_problems_are_all_named() {
        let text =
            CATALOG.replace("file = \"a.cu\"\nentry", "file = \"b.cu\"\nentry").replace("schema = 1", "schema = 2");
        let twice = format!("{text}\n[[file]]\npath = \"gone.cu\"\nptx_arch = \"sm_80\"\ncubins = [\"80\"]\n");
        let tree = tree(&[("catalog.toml", &twice), ("a.cu", ""), ("new.cu", "")]);
        let message = catalog(tree.path()).unwrap_err().to_string();
        for part in [
            "schema is 2; this program reads 1",
            "\"gone.cu\" does not exist",
            "ptx_arch \"sm_80\"; it must be like compute_80",
            "the cubin \"80\"; it must be like sm_90a",
            "\"new.cu\" exists and has no [[file]]",
            "helper \"fill\" names the file \"b.cu\", which has no [[file]]",
            "\"gone.cu\" has no kernel and no helper",
        ] {
            assert!(message.contains(part), "{part:?} is missing in:\n{message}");
        }
    }

    #[test]
    fn catalog_names_are_unique() {
        let mut catalog: Catalog = schema::parse(CATALOG).unwrap();
        catalog.kernels.push(catalog.kernels[0].clone());
        let variant = catalog.kernels[0].variants[0].clone();
        catalog.kernels[0].variants.push(variant);
        catalog.files.push(catalog.files[0].clone());
        let message = problems(&catalog, &["a.cu".to_owned()]).join("\n");
        for part in [
            "[[file]] \"a.cu\" is listed twice",
            "kernel name \"01_naive\" is given twice",
            "two variants \"v\"",
            "entry \"gemm\" of \"a.cu\" is listed twice",
        ] {
            assert!(message.contains(part), "{part:?} is missing in:\n{message}");
        }
    }

    #[test]
    fn variant_problems_name_the_variant_and_the_remedy() {
        let whole = |text: &str| problems(&schema::parse(text).unwrap(), &["a.cu".to_owned()]).join("\n");
        assert_eq!(whole(CATALOG), "");
        for (line, part) in [
            ("dtype = \"f61\"", "has the dtype \"f61\"; it must be one of f16, bf16"),
            ("layouts = [\"nm\"]", "has the layout \"nm\"; it must be one of nn, nt"),
            ("route = \"detour\"", "has the route \"detour\"; it must be one of direct"),
            ("align_b = 12", "has align_b = 12; it must be a power of two"),
            ("box_a = [512, 8]", "has box_a = Some([512, 8]); a side"),
            ("min_k = 9\nmax_k = 8", "min_k = 9 above max_k = 8"),
            ("cluster = 3", "has cluster = 3; it must be 1, 2, 4, 8 or 16"),
            ("cluster = 2", "has cluster = 2 and min_cc = 80; clusters need 90"),
            ("min_cc = 75", "has min_cc = 75, and its file's PTX is for 80"),
            ("then = \"02_tiled/w\"", "runs then \"02_tiled/w\", which is no KERNEL/VARIANT"),
            ("then = \"01_naive/v\"", "which runs another one itself"),
            ("pack = \"c\"", "has the pack \"c\"; it must be one of a, b, ab"),
        ] {
            let text = CATALOG.replace("stages = 1\n", &format!("stages = 1\n{line}\n"));
            let found = whole(&text);
            assert!(
                found.contains(part) && found.contains("variant \"01_naive/v\""),
                "{part:?} is missing in: {found}"
            );
        }
        let found = whole(&CATALOG.replace("unit = \"simt\"", "unit = \"hmma\"").replace("entry = \"gemm\"", ""));
        assert!(found.contains("has the unit \"hmma\"") && found.contains("neither an entry"), "{found}");
        let forms = CATALOG.replace("\"gemm\"", "\"gemm_{dtype}_{layout}\"").replace("[\"nn\"]", "[\"nn\", \"tt\"]");
        let entries: Vec<String> =
            promises(&schema::parse(&forms).unwrap(), "a.cu").into_iter().map(|p| p.entry).collect();
        assert_eq!(entries, ["gemm_f16_nn", "gemm_f16_tt", "fill"]);
    }

    #[test]
    fn catalog_syntax_errors_name_the_line() {
        let tree = tree(&[("catalog.toml", "schema = 1\nfile = 3\n")]);
        let message = catalog(tree.path()).unwrap_err().to_string();
        assert!(message.starts_with("kernels/catalog.toml: ") && message.contains("line 2"), "{message}");
    }
}
