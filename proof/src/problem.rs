//! A problem of small integers, run with a text of PTX: findings, and elements that are not exact.

use crate::catalog::Variant;
use crate::launch::{Placed, launches, stored};
use gpu_emulator::{Device, Dim3, Finding, LaunchError, LoadError, Module};
use half::{bf16, f16};

/// What a kernel is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Problem {
    /// Rows of A and C, columns of B and C, columns of A.
    pub sizes: [usize; 3],
    /// What C is multiplied with before A·B is added. Where it is 0, C holds nothing that may be read.
    pub beta: f32,
    /// What the leading dimensions of A, B and C exceed the columns by, in elements. A's and B's are then rounded up to what the
    /// variant needs.
    pub pad: usize,
    /// Elements from an aligned address to C.
    pub offset_c: usize,
    /// Order of warps, and when asynchronous copies land; 0 is the plain order.
    pub seed: u64,
    /// Instructions after which the launch is given up.
    pub max_instructions: u64,
}

impl Problem {
    /// A problem without padding, with beta 0 and in the plain order.
    pub fn new(sizes: [usize; 3]) -> Problem {
        Problem { sizes, beta: 0.0, pad: 0, offset_c: 0, seed: 0, max_instructions: 1 << 22 }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What the emulator found, launch after launch.
    pub findings: Vec<Finding>,
    /// Elements of C that are not exact.
    pub wrong: usize,
}

impl Outcome {
    /// Whether nothing is to be said against the kernel.
    pub fn clean(&self) -> bool {
        self.findings.is_empty() && self.wrong == 0
    }
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum Refused {
    /// The text is not PTX that the emulator takes.
    Load(LoadError),
    /// The launch cannot be made.
    Launch(LaunchError),
}

/// An element of A, B (by its place) or C: small enough that every sum of a few hundred products is exact in FP32, and in FP16; in
/// BF16 it is rounded once.
fn value(operand: usize, row: usize, col: usize) -> f32 {
    let i = row * 31 + col * 17 + operand * 7;
    ((i * 5 + i / 7) % 5) as f32 - 2.0
}

impl Problem {
    /// Runs a text in place of the variant's own.
    ///
    /// Operands lie in allocations of exactly their size, with NaN between the rows; every byte of C has to be written once.
    ///
    /// # Errors
    /// The text cannot be loaded or the launch cannot be made.
    pub fn run(&self, variant: &Variant, ptx: &str) -> Result<Outcome, Refused> {
        let [m, n, k] = self.sizes;
        let bits_of =
            |value: f32| if variant.bf16 { bf16::from_f32(value).to_bits() } else { f16::from_f32(value).to_bits() };
        let mut device = Device::new();
        let mut put =
            |name: &str, operand: usize, [rows, cols]: [usize; 2], transposed: bool, ld: usize, fill: bool| {
                let offset = if operand == 2 { self.offset_c } else { 0 };
                let span = if rows == 0 || cols == 0 { 1 } else { offset + (rows - 1) * ld + cols };
                let p = device.memory.alloc(2 * span as u64, name).expect("memory");
                if fill {
                    let mut bits = vec![bits_of(f32::NAN); span];
                    for i in 0..rows {
                        for j in 0..cols {
                            let (row, col) = if transposed { (j, i) } else { (i, j) };
                            bits[offset + i * ld + j] = bits_of(value(operand, row, col));
                        }
                    }
                    let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
                    device.memory.write(p, &bytes).expect("it was allocated");
                }
                p + 2 * offset as u64
            };
        let sizes = [0, 1].map(|operand| stored(self, variant, operand));
        let [lda, ldb] = [0, 1].map(|operand| {
            (sizes[operand][1].max(1) + self.pad).next_multiple_of(variant.align_bytes[operand] as usize / 2)
        });
        let ldc = n + self.pad;
        let a = put("A", 0, sizes[0], variant.transposed[0], lda, true);
        let b = put("B", 1, sizes[1], variant.transposed[1], ldb, true);
        let c = put("C", 2, [m, n], false, ldc, self.beta != 0.0);
        let placed = Placed { at: [a, b, c], ld: [lda, ldb, ldc] };
        let options = &mut device.options;
        options.max_instructions = self.max_instructions;
        options.shuffle = self.seed;
        options.copies_land_early = self.seed % 3 == 1;
        let mut findings = Vec::new();
        for launch in launches(self, variant, ptx, &placed, &mut device) {
            let module = Module::load(launch.ptx).map_err(Refused::Load)?;
            let entry = module.entry(launch.entry);
            let entry = entry.ok_or_else(|| Refused::Launch(LaunchError::Dimensions("no entry".into())))?;
            device.options.written_once = vec![launch.output];
            let (grid, block) = (Dim3::x(launch.blocks), Dim3::x(launch.threads));
            let done = device.launch(entry, grid, block, launch.shared_bytes, &launch.params);
            findings.extend(done.map_err(Refused::Launch)?.findings);
        }
        let mut bytes = vec![0; 2 * ((m - 1) * ldc + n)];
        device.memory.read(c, &mut bytes).expect("it was allocated");
        let mut wrong = 0;
        for i in 0..m {
            for j in 0..n {
                let sum: f32 = (0..k).map(|d| value(0, i, d) * value(1, d, j)).sum();
                let before = if self.beta == 0.0 { 0.0 } else { self.beta * value(2, i, j) };
                let at = 2 * (i * ldc + j);
                let found = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                // Two zeros are the same whatever their sign.
                let expected = bits_of(sum + before);
                wrong += usize::from(found != expected && (found | expected) & 0x7fff != 0);
            }
        }
        Ok(Outcome { findings, wrong })
    }
}
