//! Matrix fragments: who holds what, and the multiplication.

use crate::alu::V;
use crate::num::*;

/// How the matrix instructions on floats round; products are exact in every mode, and so are sums of small integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numerics {
    /// Sums in double precision, rounded once to the accumulator.
    Exact,
    /// Sums in single precision in order of depth.
    #[default]
    Sequential,
    /// As published models of the hardware have it: the terms of a group are aligned to the largest exponent, cut to a number of
    /// fractional bits and summed, and the sum is cut to single precision. [`crate::Options::sm`] decides groups and bits.
    Truncating,
}

/// What decides how a product is rounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub numerics: Numerics,
    pub sm: u32,
    pub wgmma: bool,
}

/// The type of the elements of A or B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum El {
    F16,
    Bf16,
    Tf32,
    E4m3,
    E5m2,
    S8,
    U8,
}

impl El {
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "tf32" => Self::Tf32,
            "e4m3" => Self::E4m3,
            "e5m2" => Self::E5m2,
            "s8" => Self::S8,
            "u8" => Self::U8,
            _ => return None,
        })
    }
    /// Elements in a register.
    pub fn per(self) -> usize {
        match self {
            Self::Tf32 => 1,
            Self::F16 | Self::Bf16 => 2,
            _ => 4,
        }
    }
    pub fn int(self) -> bool {
        matches!(self, Self::S8 | Self::U8)
    }
    pub fn eight_bit_float(self) -> bool {
        matches!(self, Self::E4m3 | Self::E5m2)
    }
    /// Element `e` of a register; an integer is exact as a float.
    #[inline(always)]
    pub fn value(self, word: u32, e: usize) -> f32 {
        match self {
            Self::F16 => half_to_f32((word >> (16 * e)) as u16),
            Self::Bf16 => f32::from_bits((word >> (16 * e)) << 16),
            // The low thirteen bits do not take part.
            Self::Tf32 => f32::from_bits(word & 0xffff_e000),
            Self::E4m3 => e4m3_to_f32((word >> (8 * e)) as u8),
            Self::E5m2 => half_to_f32(u16::from((word >> (8 * e)) as u8) << 8),
            Self::S8 => f32::from((word >> (8 * e)) as u8 as i8),
            Self::U8 => f32::from((word >> (8 * e)) as u8),
        }
    }
    /// All elements of sixteen bytes.
    #[inline]
    pub fn values(self, p: &[u32; 4], out: &mut [f32; 16]) {
        #[inline(always)]
        fn spread<const PER: usize>(t: El, p: &[u32; 4], out: &mut [f32; 16]) {
            for (w, word) in p.iter().enumerate() {
                for e in 0..PER {
                    out[PER * w + e] = t.value(*word, e);
                }
            }
        }
        match self {
            Self::F16 => spread::<2>(Self::F16, p, out),
            Self::Bf16 => spread::<2>(Self::Bf16, p, out),
            Self::Tf32 => spread::<1>(Self::Tf32, p, out),
            t => spread::<4>(t, p, out),
        }
    }
    /// The exponent of the type's subnormal numbers.
    fn least(self) -> i32 {
        match self {
            Self::F16 | Self::E5m2 => -14,
            Self::E4m3 => -6,
            _ => -126,
        }
    }
}

/// The type of an accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acc {
    F32,
    F16,
    S32,
}

/// Types and depth of a warp's product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub a: El,
    pub b: El,
    /// Whether the depth takes two registers of B and not one.
    pub deep: bool,
    pub c: Acc,
    pub d: Acc,
    pub saturate: bool,
}

impl Form {
    /// Elements along the depth.
    pub fn k(&self) -> usize {
        self.a.per() * if self.deep { 8 } else { 4 }
    }
    /// Registers of A, B, C and D.
    pub fn regs(&self) -> [usize; 4] {
        let n = |t: Acc| if t == Acc::F16 { 2 } else { 4 };
        let b = if self.deep { 2 } else { 1 };
        [2 * b, b, n(self.c), n(self.d)]
    }
}

/// Sixteen rows of A, its depth at most 32.
pub(crate) type Rows = [[f32; 32]; 16];

fn exponent(x: f32, least: i32) -> i32 {
    ((x.to_bits() >> 23 & 0xff) as i32 - 127).max(least)
}

/// The sum of products and `c` as one group of the hardware's adder with `bits` fractional bits.
fn fuse(terms: impl Iterator<Item = (f32, f32)> + Clone, least: (i32, i32), c: f32, c_least: i32, bits: i32) -> f64 {
    let mut plain = f64::from(c);
    let mut top = if c == 0.0 { i32::MIN } else { exponent(c, c_least) };
    for (x, y) in terms.clone() {
        let p = f64::from(x) * f64::from(y);
        plain += p;
        if p != 0.0 {
            top = top.max(exponent(x, least.0) + exponent(y, least.1));
        }
    }
    if !plain.is_finite() || top == i32::MIN {
        return plain;
    }
    let power = |n: i32| f64::from_bits(((1023 + n) as u64) << 52);
    let scale = power(bits - top);
    let cut = |x: f64| (x * scale) as i64;
    let sum = terms.fold(cut(f64::from(c)), |s, (x, y)| s + cut(f64::from(x) * f64::from(y)));
    sum as f64 * power(top - bits)
}

/// `c = a * b + c` for sixteen rows and `n` columns over a depth of `k`; `b` and `c` have `n` numbers a row.
#[inline(always)]
fn product(f: &Form, rules: Rules, k: usize, n: usize, a: &Rows, b: &[f32], c: &mut [f32]) {
    match rules.numerics {
        _ if f.c == Acc::S32 => {}
        Numerics::Sequential => {
            // Four rows by eight columns at a time: their sums stay in registers and do not wait for each other.
            let blocks = if n.is_multiple_of(8) { n / 8 } else { 0 };
            for (q, rows) in a.chunks_exact(4).enumerate().take(if blocks == 0 { 0 } else { 4 }) {
                for block in 0..blocks {
                    let at = |r: usize| (4 * q + r) * n + 8 * block;
                    let mut sums = [[0f32; 8]; 4];
                    for (r, s) in sums.iter_mut().enumerate() {
                        s.copy_from_slice(&c[at(r)..at(r) + 8]);
                    }
                    for (i, rb) in b.chunks_exact(n).take(k).enumerate() {
                        let rb = &rb[8 * block..8 * block + 8];
                        for (s, ra) in sums.iter_mut().zip(rows) {
                            for (s, y) in s.iter_mut().zip(rb) {
                                *s += ra[i] * y;
                            }
                        }
                    }
                    for (r, s) in sums.iter().enumerate() {
                        c[at(r)..at(r) + 8].copy_from_slice(s);
                    }
                }
            }
            for (ra, rc) in a.iter().zip(c.chunks_exact_mut(n)).take(if blocks == 0 { 16 } else { 0 }) {
                for (x, rb) in ra.iter().zip(b.chunks_exact(n)).take(k) {
                    for (s, y) in rc.iter_mut().zip(rb) {
                        *s += x * y;
                    }
                }
            }
            if f.d == Acc::F16 {
                c.iter_mut().for_each(|x| *x = half_to_f32(f32_to_half(*x)));
            }
        }
        Numerics::Exact => {
            for (ra, rc) in a.iter().zip(c.chunks_exact_mut(n)) {
                for (j, s) in rc.iter_mut().enumerate() {
                    let sum = (0..k).fold(f64::from(*s), |s, i| s + f64::from(ra[i]) * f64::from(b[i * n + j]));
                    *s = if f.d == Acc::F16 { half_to_f32(f64_to_half(sum)) } else { sum as f32 };
                }
            }
        }
        Numerics::Truncating => {
            let hopper = rules.sm >= 90;
            let narrow = f.a.eight_bit_float() && (rules.wgmma || !hopper);
            let bits = if narrow {
                13
            } else if hopper {
                25
            } else {
                24
            };
            // Before Hopper a product is done in steps of half its depth, where that is two registers.
            let step = if hopper { k } else { k.min(4 * f.a.per()) };
            let least = (f.a.least(), f.b.least());
            let c_least = if f.c == Acc::F16 { -14 } else { -126 };
            for (ra, rc) in a.iter().zip(c.chunks_exact_mut(n)) {
                for (j, s) in rc.iter_mut().enumerate() {
                    for first in (0..k).step_by(step) {
                        let terms = (first..first + step).map(|i| (ra[i], b[i * n + j]));
                        let sum = fuse(terms, least, *s, c_least, bits);
                        *s = if sum.is_nan() {
                            f32::from_bits(0x7fff_ffff)
                        } else if f.d == Acc::F16 {
                            half_to_f32(f64_to_half(sum))
                        } else if sum.abs() >= 2f64.powi(128) {
                            f32::INFINITY.copysign(sum as f32)
                        } else {
                            let t = f64_to_f32_rnd(sum, crate::alu::Rnd::Zero);
                            if narrow { f32::from_bits(t.to_bits() & !0x3ff) } else { t }
                        };
                    }
                }
            }
        }
    }
}

/// As [`product`] for integers, whose values come as floats and whose accumulators are bits.
fn product_int(saturate: bool, k: usize, n: usize, a: &Rows, b: &[f32], c: &mut [u32]) {
    for (ra, rc) in a.iter().zip(c.chunks_exact_mut(n)) {
        for (j, s) in rc.iter_mut().enumerate() {
            // Depth times 255 squared is below 2^24, so that the products' sum is exact.
            let dot: f32 = (0..k).map(|i| ra[i] * b[i * n + j]).sum();
            let sum = i64::from(*s as i32) + dot as i64;
            *s = if saturate { sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as u32 } else { sum as u32 };
        }
    }
}

/// Accumulators as bits of their type in, out as those of the result.
#[inline(always)]
pub(crate) fn multiply<const MOST: usize>(
    f: &Form,
    rules: Rules,
    k: usize,
    n: usize,
    a: &Rows,
    b: &[f32],
    c: &mut [u32],
) {
    if f.c == Acc::S32 {
        return product_int(f.saturate, k, n, a, b, c);
    }
    let mut sums = [0f32; MOST];
    let sums = &mut sums[..16 * n];
    for (s, x) in sums.iter_mut().zip(&*c) {
        *s = if f.c == Acc::F16 { half_to_f32(*x as u16) } else { f32::from_bits(*x) };
    }
    product(f, rules, k, n, a, b, sums);
    for (s, x) in sums.iter().zip(c) {
        *x = if f.d == Acc::F16 { u32::from(f32_to_half(*s)) } else { s.to_bits() };
    }
}

/// Sixteen rows of A from the registers of a warp: lane `l` holds rows `l / 4` and eight more, and a register's worth of columns.
pub(crate) fn rows(t: El, regs: &[V], out: &mut Rows) {
    #[inline(always)]
    fn spread<const PER: usize>(t: El, regs: &[V], out: &mut Rows) {
        for (i, reg) in regs.iter().enumerate() {
            for (lane, word) in reg.iter().enumerate() {
                let row = &mut out[(lane >> 2) + 8 * (i & 1)];
                let col = PER * (lane & 3) + 4 * PER * (i >> 1);
                for e in 0..PER {
                    row[col + e] = t.value(*word, e);
                }
            }
        }
    }
    match t {
        El::F16 => spread::<2>(El::F16, regs, out),
        El::Bf16 => spread::<2>(El::Bf16, regs, out),
        El::Tf32 => spread::<1>(El::Tf32, regs, out),
        t => spread::<4>(t, regs, out),
    }
}

/// [`mma`] where most kernels spend their time: 16-bit elements, a depth of 16, single precision in order of depth. Written so that
/// the conversions and the sums become vector instructions.
#[inline(always)]
fn mma_wide(widen: impl Fn(u16) -> f32, a: &[V; 4], b: &[V; 2], acc: &mut [V; 4]) {
    let split = |v: &V| -> ([f32; 32], [f32; 32]) {
        (std::array::from_fn(|l| widen(v[l] as u16)), std::array::from_fn(|l| widen((v[l] >> 16) as u16)))
    };
    let mut fa = [[0f32; 16]; 16];
    let mut fb = [[0f32; 8]; 16];
    let mut c = [[0f32; 8]; 16];
    for (i, v) in a.iter().enumerate() {
        let (lo, hi) = split(v);
        for l in 0..32 {
            let row = &mut fa[(l >> 2) + 8 * (i & 1)];
            let col = 2 * (l & 3) + 8 * (i >> 1);
            (row[col], row[col + 1]) = (lo[l], hi[l]);
        }
    }
    for (i, v) in b.iter().enumerate() {
        let (lo, hi) = split(v);
        for l in 0..32 {
            let row = 2 * (l & 3) + 8 * i;
            (fb[row][l >> 2], fb[row + 1][l >> 2]) = (lo[l], hi[l]);
        }
    }
    for l in 0..32 {
        for i in 0..4 {
            c[(l >> 2) + 8 * (i >> 1)][2 * (l & 3) + (i & 1)] = f32::from_bits(acc[i][l]);
        }
    }
    // Four rows at a time: their sums stay in registers and do not wait for each other.
    for (ra, rc) in fa.chunks_exact(4).zip(c.chunks_exact_mut(4)) {
        let mut sums = [rc[0], rc[1], rc[2], rc[3]];
        for (k, row) in fb.iter().enumerate() {
            for (sum, x) in sums.iter_mut().zip(ra) {
                for j in 0..8 {
                    sum[j] += x[k] * row[j];
                }
            }
        }
        rc.copy_from_slice(&sums);
    }
    for l in 0..32 {
        for i in 0..4 {
            acc[i][l] = c[(l >> 2) + 8 * (i >> 1)][2 * (l & 3) + (i & 1)].to_bits();
        }
    }
}

/// `acc = a * b + acc` for a 16x8 result.
pub(crate) fn mma(f: &Form, rules: Rules, a: &[V; 4], b: &[V; 2], acc: &mut [V; 4]) {
    if rules.numerics == Numerics::Sequential && f.deep && f.c == Acc::F32 && f.d == Acc::F32 {
        match f.a {
            El::F16 => return mma_wide(half_to_f32, a, b, acc),
            El::Bf16 => return mma_wide(|x| f32::from_bits(u32::from(x) << 16), a, b, acc),
            _ => {}
        }
    }
    let (k, per) = (f.k(), f.b.per());
    let [na, nb, nc, nd] = f.regs();
    let mut fa = [[0f32; 32]; 16];
    let mut fb = [0f32; 8 * 32];
    let mut c = [0u32; 8 * 16];
    rows(f.a, &a[..na], &mut fa);
    for (i, reg) in b.iter().enumerate().take(nb) {
        for (lane, word) in reg.iter().enumerate() {
            let row = per * (lane & 3) + 4 * per * i;
            if f.b == El::F16 {
                fb[8 * row + (lane >> 2)] = El::F16.value(*word, 0);
                fb[8 * row + 8 + (lane >> 2)] = El::F16.value(*word, 1);
                continue;
            }
            for e in 0..per {
                fb[8 * (row + e) + (lane >> 2)] = f.b.value(*word, e);
            }
        }
    }
    let at = |lane: usize, i: usize| 8 * ((lane >> 2) + 8 * (i >> 1)) + 2 * (lane & 3) + (i & 1);
    for lane in 0..32 {
        for i in 0..4 {
            c[at(lane, i)] = if nc == 2 { acc[i / 2][lane] >> (16 * (i & 1)) & 0xffff } else { acc[i][lane] };
        }
    }
    multiply::<128>(f, rules, k, 8, &fa, &fb[..8 * k], &mut c);
    for lane in 0..32 {
        for i in 0..nd {
            acc[i][lane] = if nd == 2 { c[at(lane, 2 * i)] | c[at(lane, 2 * i + 1)] << 16 } else { c[at(lane, i)] };
        }
    }
}

/// Where the elements of a row of a sparse A stand in the whole row, for all sixteen rows, or the row and place of bits that no
/// element can have.
///
/// An element of eight or sixteen bits has a place among four, two of which are there; one of `tf32`, among two, as if it were two
/// halves. Of sixteen and 32 bits, a thread has sixteen bits for its row and above them for the row eight below, and the next thread
/// those of the second half of the depth; of eight bits, 32 for its row, and the next thread for the row eight below (PTX ISA
/// 9.7.14.6.2; the figures there are not in the text: this is how published code lays the bits out).
pub(crate) fn sparse_places(f: &Form, bits: &V, selector: u32, ordered: bool) -> Result<[[u8; 32]; 16], (usize, u32)> {
    let k = f.k();
    let mut out = [[0; 32]; 16];
    // The first of the threads of four that count.
    let first = match (f.a.per() == 4, f.deep) {
        (true, true) => 0,
        (true, false) | (false, true) => 2 * selector as usize,
        (false, false) => selector as usize,
    };
    for (row, places) in out.iter_mut().enumerate() {
        let (group, below) = (row % 8, row / 8);
        // Four bits say where one or two elements stand: two of four, or one of two.
        let (per, wide) = if f.a == El::Tf32 { (1, 2) } else { (2, 4) };
        for chunk in 0..k / per {
            let (thread, shift) = if f.a.per() == 4 {
                (below + 2 * (chunk / 8), 4 * (chunk % 8))
            } else {
                (chunk / 4, 16 * below + 4 * (chunk % 4))
            };
            let four = bits[4 * group + first + thread] >> shift & 15;
            let (low, high) = (four & 3, four >> 2);
            let ok =
                if f.a == El::Tf32 { matches!(four, 0b0100 | 0b1110) } else { low < high || (low > high && !ordered) };
            if !ok {
                return Err((row, four));
            }
            if per == 1 {
                places[chunk] = (wide * chunk) as u8 + (low / 2) as u8;
            } else {
                places[2 * chunk] = (wide * chunk) as u8 + low as u8;
                places[2 * chunk + 1] = (wide * chunk) as u8 + high as u8;
            }
        }
    }
    Ok(out)
}

/// As [`mma`] with the elements of A that are there and their places in their rows, and twice as much of B.
pub(crate) fn sparse_mma(f: &Form, rules: Rules, a: &[V; 4], places: &[[u8; 32]; 16], b: &[V; 4], acc: &mut [V; 4]) {
    let (k, per) = (f.k(), f.b.per());
    let [na, nb, nc, nd] = f.regs();
    let mut fa = [[0f32; 32]; 16];
    rows(f.a, &a[..na], &mut fa);
    let mut whole = [[0f32; 8]; 64];
    for (i, reg) in b.iter().enumerate().take(2 * nb) {
        for (lane, word) in reg.iter().enumerate() {
            for e in 0..per {
                whole[per * (lane & 3) + 4 * per * i + e][lane >> 2] = f.b.value(*word, e);
            }
        }
    }
    let at = |lane: usize, i: usize| 8 * ((lane >> 2) + 8 * (i >> 1)) + 2 * (lane & 3) + (i & 1);
    let mut c = [0u32; 8 * 16];
    for lane in 0..32 {
        for i in 0..4 {
            c[at(lane, i)] = if nc == 2 { acc[i / 2][lane] >> (16 * (i & 1)) & 0xffff } else { acc[i][lane] };
        }
    }
    // Every row meets other rows of B: one at a time.
    for r in 0..16 {
        let mut fb = [0f32; 8 * 32];
        for (row, place) in fb.chunks_exact_mut(8).zip(&places[r][..k]) {
            row.copy_from_slice(&whole[usize::from(*place)]);
        }
        let mut all = c;
        multiply::<128>(f, rules, k, 8, &fa, &fb[..8 * k], &mut all);
        c[8 * r..8 * r + 8].copy_from_slice(&all[8 * r..8 * r + 8]);
    }
    for lane in 0..32 {
        for i in 0..nd {
            acc[i][lane] = if nd == 2 { c[at(lane, 2 * i)] | c[at(lane, 2 * i + 1)] << 16 } else { c[at(lane, i)] };
        }
    }
}

/// As [`sparse_mma`] for elements of four bits: what is there are pairs of them, which stand as the elements of eight bits do.
pub(crate) fn sparse_mma_of_nibbles(f: &Form, a: &[V; 4], places: &[[u8; 32]; 16], b: &[V; 4], acc: &mut [V; 4]) {
    let [na, nb, _, nd] = f.regs();
    let pair = |el: El, word: u32, e: usize| -> [i64; 2] {
        let byte = (word >> (8 * e)) as u8;
        if el == El::S8 {
            [i64::from((byte << 4) as i8 >> 4), i64::from(byte as i8 >> 4)]
        } else {
            [i64::from(byte & 15), i64::from(byte >> 4)]
        }
    };
    // Rows of A by bytes, and columns of B.
    let mut pairs_a = [[[0i64; 2]; 32]; 16];
    let mut pairs_b = [[[0i64; 2]; 64]; 8];
    for (i, reg) in a.iter().enumerate().take(na) {
        for (lane, word) in reg.iter().enumerate() {
            for e in 0..4 {
                pairs_a[(lane >> 2) + 8 * (i & 1)][4 * (lane & 3) + 16 * (i >> 1) + e] = pair(f.a, *word, e);
            }
        }
    }
    for (i, reg) in b.iter().enumerate().take(2 * nb) {
        for (lane, word) in reg.iter().enumerate() {
            for e in 0..4 {
                pairs_b[lane >> 2][4 * (lane & 3) + 16 * i + e] = pair(f.b, *word, e);
            }
        }
    }
    for (i, reg) in acc.iter_mut().enumerate().take(nd) {
        for (lane, c) in reg.iter_mut().enumerate() {
            let (row, col) = ((lane >> 2) + 8 * (i >> 1), 2 * (lane & 3) + (i & 1));
            let products = pairs_a[row][..f.k()].iter().zip(&places[row]).map(|(x, place)| {
                let y = pairs_b[col][usize::from(*place)];
                x[0] * y[0] + x[1] * y[1]
            });
            let sum = i64::from(*c as i32) + products.sum::<i64>();
            *c = if f.saturate { sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as u32 } else { sum as u32 };
        }
    }
}

/// What each lane receives of an 8x8 matrix of halves given as rows of 16 bytes.
pub(crate) fn ldmatrix(rows: &[[u32; 4]], trans: bool) -> V {
    let half = |r: usize, c: usize| rows[r][c / 2] >> (16 * (c & 1)) & 0xffff;
    std::array::from_fn(|l| {
        let (g, t) = (l >> 2, l & 3);
        if trans { half(2 * t, g) | half(2 * t + 1, g) << 16 } else { rows[g][t] }
    })
}

/// The rows of an 8x8 matrix of halves that the lanes hold: the inverse of [`ldmatrix`].
pub(crate) fn stmatrix(v: &V, trans: bool) -> [[u32; 4]; 8] {
    let mut rows = [[0u32; 4]; 8];
    for (l, x) in v.iter().enumerate() {
        let (g, t) = (l >> 2, l & 3);
        if trans {
            rows[2 * t][g / 2] |= (x & 0xffff) << (16 * (g & 1));
            rows[2 * t + 1][g / 2] |= (x >> 16) << (16 * (g & 1));
        } else {
            rows[g][t] = *x;
        }
    }
    rows
}
