//! The machine code of the cubins, as `nvdisasm` shows it: whether it holds the instructions that its kernel is about.
//!
//! PTX tells what was asked for; ptxas may answer with something else. This looks at the answer.

use super::Error;
use super::compile::{Cache, Images, in_parallel};
use super::schema::{Catalog, Kernel, Variant};
use super::sources::{self, Promise};
use super::toolchain::quiet;
use flate2::read::ZlibDecoder;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

/// One instruction, or one of several, that the machine code of an entry must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Why it must, to be read after the entry's name.
    pub because: &'static str,
    /// Opcodes, of which one is enough. What follows a dot must be among the modifiers.
    pub any_of: &'static [&'static str],
}

/// What the entries of a variant for a type must hold, by what the catalogue says of it.
pub fn needs(kernel: &Kernel, variant: &Variant, dtype: &str) -> Vec<Need> {
    let mut needs = Vec::new();
    match (kernel.unit.as_str(), dtype) {
        ("wgmma", "i8") => needs.push(Need { because: "multiplies with wgmma", any_of: &["IGMMA"] }),
        ("wgmma", "e4m3") => needs.push(Need { because: "multiplies with wgmma", any_of: &["QGMMA"] }),
        ("wgmma", _) => needs.push(Need { because: "multiplies with wgmma", any_of: &["HGMMA"] }),
        ("mma.sync" | "wmma", "i8") => {
            needs.push(Need { because: "multiplies on the tensor cores", any_of: &["IMMA"] })
        }
        // Compute capability 9.0 has FP8 in wgmma alone: its mma.sync is done in FP16.
        ("mma.sync" | "wmma", "e4m3") => {
            needs.push(Need { because: "multiplies on the tensor cores", any_of: &["QMMA", "HMMA"] });
        }
        ("mma.sync" | "wmma", _) => needs.push(Need { because: "multiplies on the tensor cores", any_of: &["HMMA"] }),
        _ => {}
    }
    let aligned = [variant.align_a, variant.align_b].map(|own| own.unwrap_or(variant.align_bytes));
    let by_tma = match variant.route.as_str() {
        "tma" | "persistent" => aligned.iter().any(|&bytes| bytes >= 16),
        route => route == "absorb",
    };
    if by_tma {
        needs.push(Need { because: "brings operands in by TMA", any_of: &["UTMALDG"] });
        if variant.cluster > 1 {
            needs.push(Need { because: "shares operands in a cluster", any_of: &["UTMALDG.MULTICAST"] });
        }
    }
    if kernel.unit == "mma.sync" && aligned.iter().any(|&bytes| bytes >= 4) {
        needs.push(Need { because: "brings operands in with cp.async", any_of: &["LDGSTS"] });
    }
    needs
}

/// A disassembler.
#[derive(Debug)]
pub struct Disassembler<'a> {
    /// The program.
    pub nvdisasm: &'a Path,
    /// Its version, such as `13.2.51`.
    pub version: &'a str,
    /// A folder for files in between.
    pub scratch: &'a Path,
    /// What was found good before.
    pub cache: &'a Cache,
}

impl Disassembler<'_> {
    /// Checks every cubin, and says how many there are.
    ///
    /// # Errors
    /// nvdisasm's own message; entries without an instruction that they need, or with local memory.
    pub fn check(&self, catalog: &Catalog, images: &Images) -> Result<usize, Error> {
        fs::create_dir_all(self.scratch).map_err(Error::io("creating", self.scratch))?;
        let each = images.images.iter().flat_map(|image| image.cubins.iter().map(move |cubin| (&image.file, cubin)));
        let cubins: Vec<_> = each.collect();
        in_parallel(&cubins, |(file, (arch, cubin))| {
            self.check_cubin(file, arch, cubin, &sources::promises(catalog, file))
        })?;
        Ok(cubins.len())
    }

    /// The folder for files in between is there.
    fn check_cubin(&self, file: &str, arch: &str, compressed: &[u8], promises: &[Promise]) -> Result<(), Error> {
        let Self { nvdisasm, version, .. } = self;
        let key = format!("{} {arch} {version} {promises:?}", sources::sha256(compressed));
        let key = sources::sha256(key.as_bytes()) + ".sass";
        if self.cache.get(&key).is_some() {
            return Ok(());
        }
        let path = self.scratch.join(format!("{}-{arch}.shown.cubin", file.replace('/', "-")));
        let mut cubin = Vec::new();
        ZlibDecoder::new(compressed).read_to_end(&mut cubin).map_err(Error::io("unpacking", &path))?;
        fs::write(&path, cubin).map_err(Error::io("writing", &path))?;
        let output = quiet(nvdisasm).arg("-c").arg(&path).output().map_err(Error::io("starting", *nvdisasm))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let tool = format!("nvdisasm {version} for {arch} ({})", nvdisasm.display());
            return Err(Error::Compiler { tool, file: file.to_owned(), said });
        }
        let faults = faults(&opcodes(&String::from_utf8_lossy(&output.stdout)), arch, promises);
        if !faults.is_empty() {
            return Err(Error::Faults { file: file.to_owned(), faults });
        }
        self.cache.put(&key, b"");
        Ok(())
    }
}

/// How often each opcode occurs, with its modifiers, in each function of what `nvdisasm -c` prints.
fn opcodes(text: &str) -> BTreeMap<&str, BTreeMap<&str, usize>> {
    let mut functions: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut function = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix(".text.").and_then(|rest| rest.strip_suffix(':')) {
            function = Some(functions.entry(name).or_default());
        } else if let (Some(counts), Some((_, code))) = (&mut function, line.split_once("*/")) {
            // An address in a comment, perhaps a predicate, the opcode.
            let opcode = code.split_whitespace().find(|word| !word.starts_with(['@', '{', '}']));
            if let Some(opcode) = opcode.filter(|_| line.starts_with("/*")) {
                *counts.entry(opcode.trim_end_matches(';')).or_default() += 1;
            }
        }
    }
    functions
}

/// Whether an opcode is what `wanted` names.
fn is(opcode: &str, wanted: &str) -> bool {
    let mut parts = opcode.split('.');
    let mut wanted = wanted.split('.');
    parts.next() == wanted.next() && wanted.all(|modifier| parts.clone().any(|part| part == modifier))
}

/// What is wrong with the code, one sentence each.
fn faults(functions: &BTreeMap<&str, BTreeMap<&str, usize>>, architecture: &str, promises: &[Promise]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, counts) in functions {
        let count =
            |wanted: &str| counts.iter().filter(|(opcode, _)| is(opcode, wanted)).map(|(_, n)| n).sum::<usize>();
        let (loads, stores) = (count("LDL"), count("STL"));
        if loads + stores > 0 {
            faults.push(format!(
                "{name} for {architecture} has {loads} loads from local memory and {stores} stores to it; the limit is 0, so \
                 index its arrays by constants and give it registers enough"
            ));
        }
    }
    for promise in promises {
        let Some(counts) = functions.get(promise.entry.as_str()) else {
            faults.push(format!("nvdisasm shows no code of {} for {architecture}; is the cubin whole?", promise.entry));
            continue;
        };
        for need in &promise.needs {
            if !counts.keys().any(|opcode| need.any_of.iter().any(|wanted| is(opcode, wanted))) {
                faults.push(format!(
                    "{} {} by the catalogue, and its code for {architecture} has no {}; correct one",
                    promise.entry,
                    need.because,
                    need.any_of.join(" or ")
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::super::testing::{CATALOG, program};
    use super::*;

    /// As nvdisasm 13.2 prints it.
    const SHOWN: &str = "
\t.headerflags\t@\"EF_CUDA_SM90\"
//--------------------- .text.gemm --------------------------
\t.section\t.text.gemm,\"ax\",@progbits
gemm:
.text.gemm:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/               @P0 BRA `(.L_x_1) ;
.L_x_1:
        /*0020*/               @!UP0 UTMALDG.2D.MULTICAST [UR16], [UR4], UR6 ;
        /*0030*/                   HGMMA.64x128x16.F32 R24, gdesc[UR8], R24, gsb0 ;
        /*0040*/                   EXIT ;
.text.fill:
        /*0000*/                   STG.E.128 desc[UR4][R2.64], R4 ;
";

    const NEEDS: [Need; 3] = [
        Need { because: "multiplies", any_of: &["IGMMA", "HGMMA"] },
        Need { because: "copies", any_of: &["UTMALDG"] },
        Need { because: "shares", any_of: &["UTMALDG.MULTICAST"] },
    ];

    fn promise(entry: &str, needs: &[Need]) -> Promise {
        Promise { entry: entry.to_owned(), registers_max: None, needs: needs.to_vec() }
    }

    fn found(text: &str, entry: &str) -> Vec<String> {
        faults(&opcodes(text), "sm_90a", &[promise(entry, &NEEDS)])
    }

    #[test]
    fn code_that_holds_what_it_needs_has_no_fault() {
        assert_eq!(found(SHOWN, "gemm"), [""; 0]);
        let functions = opcodes(SHOWN);
        assert_eq!(functions.keys().copied().collect::<Vec<_>>(), ["fill", "gemm"]);
        assert_eq!(functions["gemm"].len(), 5, "{functions:?}");
    }

    #[test]
    fn a_missing_instruction_is_named_with_its_entry() {
        // In another function it does not count, and neither does one whose name only begins alike.
        for (from, to, missing) in [
            (
                "HGMMA.64x128x16.F32",
                "HMMA.16816.F32",
                "multiplies by the catalogue, and its code for sm_90a has no IGMMA or HGMMA",
            ),
            ("HGMMA.64x128x16.F32", "HGMMAX", "no IGMMA or HGMMA"),
            (
                "UTMALDG.2D.MULTICAST",
                "UTMALDG.2D",
                "shares by the catalogue, and its code for sm_90a has no UTMALDG.MULTICAST",
            ),
        ] {
            let faults = found(&SHOWN.replace(from, to), "gemm");
            assert!(faults.len() == 1 && faults[0].starts_with("gemm ") && faults[0].contains(missing), "{faults:?}");
        }
        assert_eq!(found(SHOWN, "fill").len(), 3);
        assert!(found(SHOWN, "gone")[0].contains("shows no code of gone"));
    }

    #[test]
    fn local_memory_is_a_fault_of_any_function() {
        let text = SHOWN.replace("STG.E.128 desc[UR4][R2.64], R4", "@P1 STL.64 [R1+0x8], R4");
        let faults = found(&text, "gemm");
        assert!(
            faults.len() == 1 && faults[0].starts_with("fill for sm_90a has 0 loads from local memory and 1 stores"),
            "{faults:?}"
        );
    }

    #[test]
    fn the_catalogues_words_say_what_is_needed() {
        let needs_of = |change: &[(&str, &str)], dtype: &str| {
            let text = change.iter().fold(CATALOG.to_owned(), |text, (from, to)| text.replace(from, to));
            let catalog = schema::parse(&text).unwrap();
            let kernel = &catalog.kernels[0];
            needs(kernel, &kernel.variants[0], dtype).iter().flat_map(|n| n.any_of).copied().collect::<Vec<_>>()
        };
        assert_eq!(needs_of(&[], "f16"), [""; 0]);
        let mma = ("unit = \"simt\"", "unit = \"mma.sync\"");
        assert_eq!(needs_of(&[mma], "bf16"), ["HMMA"], "elements are loaded one by one or shifted");
        assert_eq!(needs_of(&[mma, ("align_bytes = 2", "align_bytes = 2\nalign_b = 4")], "i8"), ["IMMA", "LDGSTS"]);
        let wgmma = ("unit = \"simt\"", "unit = \"wgmma\"");
        let route = |route: &'static str| ("stages = 1", route);
        let aligned = ("align_bytes = 2", "align_bytes = 16");
        assert_eq!(needs_of(&[wgmma, route("stages = 1\nroute = \"tma\""), aligned], "f16"), ["HGMMA", "UTMALDG"]);
        assert_eq!(needs_of(&[wgmma, route("stages = 1\nroute = \"persistent\"")], "e4m3"), ["QGMMA"]);
        let paired = route("stages = 1\ncluster = 2\nroute = \"absorb\"");
        assert_eq!(needs_of(&[wgmma, paired], "bf16"), ["HGMMA", "UTMALDG", "UTMALDG.MULTICAST"]);
    }

    #[test]
    fn cubins_are_looked_at_once_and_faults_name_their_file() {
        let home = tempfile::tempdir().unwrap();
        let nvdisasm = home.path().join("nvdisasm");
        // Shows the cubin itself, and counts its calls.
        program(&nvdisasm, "echo call >> $(dirname $0)/calls; cat $2");
        let (scratch, cache) = (home.path().join("scratch"), Cache::below(home.path()));
        let it = Disassembler { nvdisasm: &nvdisasm, version: "13.2.51", scratch: &scratch, cache: &cache };
        fs::create_dir_all(&scratch).unwrap();
        let check = |text: &str| {
            let cubin = super::super::compile::compress(text.as_bytes());
            it.check_cubin("gemm/a.cu", "sm_90a", &cubin, &[promise("gemm", &NEEDS)])
        };
        check(SHOWN).unwrap();
        check(SHOWN).unwrap();
        assert_eq!(fs::read_to_string(home.path().join("calls")).unwrap(), "call\n");
        let error = check(&SHOWN.replace("HGMMA", "HMMA")).unwrap_err().to_string();
        assert!(error.starts_with("kernels/gemm/a.cu: gemm multiplies by the catalogue"), "{error}");
        program(&nvdisasm, "echo 'nvdisasm fatal: no ELF' >&2; exit 1");
        let error = check("other").unwrap_err().to_string();
        assert!(error.starts_with("nvdisasm 13.2.51 for sm_90a (") && error.ends_with("no ELF"), "{error}");
    }
}
