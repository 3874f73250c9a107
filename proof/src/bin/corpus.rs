//! Writes what the fuzz target of the emulator begins with: `corpus/ptx/`, a module for each kernel that ships and is not too long, and
//! `ptx.dict`, the words that they are made of.
//!
//! ```sh
//! cargo run -p gemmscope-proof --bin corpus
//! ```

use gemmscope_proof::{modules, statements};
use std::collections::BTreeSet;
use std::path::Path;

/// Longer texts slow the fuzzer down more than they teach it.
const LONGEST: usize = 160 << 10;

fn main() -> std::io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../emulator/fuzz");
    let corpus = fuzz.join("corpus/ptx");
    std::fs::create_dir_all(&corpus)?;
    let (mut words, mut files) = (BTreeSet::new(), 0);
    for (name, ptx) in modules() {
        for statement in statements(&ptx) {
            let bare = statement.bare();
            let opcode = bare.split([' ', '\t', ';']).next().unwrap_or_default();
            words.insert(opcode.to_owned());
            words.extend(opcode.split('.').skip(1).map(|modifier| format!(".{modifier}")));
        }
        if ptx.len() <= LONGEST {
            std::fs::write(corpus.join(name), ptx)?;
            files += 1;
        }
    }
    let lines: String = words.iter().filter(|w| !w.is_empty()).map(|w| format!("{w:?}\n")).collect();
    std::fs::write(fuzz.join("ptx.dict"), lines)?;
    println!("{files} texts in emulator/fuzz/corpus/ptx, {} words in emulator/fuzz/ptx.dict", words.len());
    Ok(())
}
