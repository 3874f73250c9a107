//! A problem of small integers, run with a text of PTX: findings, and elements that are not exact.

use crate::catalog::Variant;
use gpu_emulator::{Device, Dim3, Finding, LaunchError, LoadError, Module, Region, TensorMap};
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
    /// What the emulator found.
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
        let module = Module::load(ptx).map_err(Refused::Load)?;
        let [m, n, k] = self.sizes;
        let step = variant.align_bytes as usize / 2;
        let ld = |cols: usize| (cols.max(1) + self.pad).next_multiple_of(step);
        let bits_of =
            |value: f32| if variant.bf16 { bf16::from_f32(value).to_bits() } else { f16::from_f32(value).to_bits() };
        let [trans_a, trans_b] = variant.transposed;
        let (lda, ldb, ldc) = (ld(if trans_a { m } else { k }), ld(if trans_b { k } else { n }), n + self.pad);
        let mut device = Device::new();
        let mut put =
            |name: &str, operand: usize, size: [usize; 2], transposed: bool, ld: usize, offset: usize, fill: bool| {
                let [rows, cols] = if transposed { [size[1], size[0]] } else { size };
                let span = if rows == 0 || cols == 0 { 1 } else { offset + (rows - 1) * ld + cols };
                let p = device.memory.alloc(2 * span as u64, name).expect("memory");
                if fill {
                    let mut bits = vec![bits_of(f32::NAN); span];
                    for i in 0..rows {
                        for j in 0..cols {
                            bits[offset + i * ld + j] = {
                                let (row, col) = if transposed { (j, i) } else { (i, j) };
                                bits_of(value(operand, row, col))
                            };
                        }
                    }
                    let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
                    device.memory.write(p, &bytes).expect("it was allocated");
                }
                p
            };
        let a = put("A", 0, [m, k], trans_a, lda, 0, true);
        let b = put("B", 1, [k, n], trans_b, ldb, 0, true);
        let c = put("C", 2, [m, n], false, ldc, self.offset_c, self.beta != 0.0) + 2 * self.offset_c as u64;
        let mut params = Vec::new();
        [a, b, c, lda as u64, ldb as u64, ldc as u64].iter().for_each(|v| params.extend(v.to_le_bytes()));
        [m, n, k].iter().for_each(|&v| params.extend((v as u32).to_le_bytes()));
        [1.0, self.beta].iter().for_each(|v| params.extend(v.to_le_bytes()));
        let [tile_m, tile_n, _] = variant.tile.map(|t| t as usize);
        let tiles = m.div_ceil(tile_m) * n.div_ceil(tile_n);
        let mut blocks = tiles;
        if let Some(maps) = variant.maps {
            // The hardware cuts rows of C at 16 bytes: where they begin and end there, C goes out by the map.
            let by_map = (c | (2 * (ldc | n) as u64)).is_multiple_of(16);
            params.extend((u32::from(by_map) | maps.group << 8).to_le_bytes());
            params.resize(128, 0);
            let map = |addr, [rows, cols]: [usize; 2], ld: usize, boxes: [u32; 2]| {
                let (dims, strides, boxes) = (vec![cols as u64, rows as u64], vec![2 * ld as u64], boxes.to_vec());
                let t = TensorMap { elem: 2, swizzle: 2 * boxes[0], nan_fill: false, addr, dims, strides, boxes };
                t.encode().expect("a map")
            };
            // A box is 64 of the depth by the tile, or runs as wide as a swizzle by 64 of the depth.
            let operand = |part: usize, along_k: bool| {
                let run = [64, 32].into_iter().find(|run| part.is_multiple_of(*run)).unwrap_or(16);
                if along_k { [64, part as u32] } else { [run as u32, 64] }
            };
            let stored = |size: [usize; 2], transposed: bool| if transposed { [size[1], size[0]] } else { size };
            params.extend(map(a, stored([m, k], trans_a), lda, operand(tile_m, !trans_a)));
            params.extend(map(b, stored([k, n], trans_b), ldb, operand(tile_n, trans_b)));
            params.extend(if by_map { map(c, [m, n], ldc, [operand(tile_n, false)[0], 16]) } else { [0; 128] });
            if maps.persistent {
                blocks = tiles.min(4);
            }
        } else {
            params.extend([0; 4]);
        }
        let options = &mut device.options;
        options.max_instructions = self.max_instructions;
        options.shuffle = self.seed;
        options.copies_land_early = self.seed % 3 == 1;
        let (row_bytes, pitch) = (2 * n as u64, 2 * ldc as u64);
        options.written_once = vec![Region { address: c, row_bytes, rows: m as u64, pitch }];
        let entry = module.entry(&variant.entry).ok_or(Refused::Launch(LaunchError::Dimensions("no entry".into())))?;
        let grid = Dim3::x(blocks as u32);
        let done = device.launch(entry, grid, Dim3::x(variant.threads), variant.shared_bytes, &params);
        let report = done.map_err(Refused::Launch)?;
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
        Ok(Outcome { findings: report.findings, wrong })
    }
}
