//! Matrix fragments: who holds what, and the multiplication.

use crate::alu::V;
use crate::num::*;

fn value(bf: bool, h: u16) -> f32 {
    if bf { f32::from_bits(u32::from(h) << 16) } else { half_to_f32(h) }
}

/// `acc = a * b + acc` for a 16x8 result over a depth of 16 or 8; products are exact, sums are single precision in order of depth.
pub(crate) fn mma(k16: bool, bf: bool, acc_f16: bool, out_f16: bool, a: &[V; 4], b: &[V; 2], acc: &mut [V; 4]) {
    let k = if k16 { 16 } else { 8 };
    let mut fa = [[0f32; 16]; 16];
    let mut fb = [[0f32; 8]; 16];
    let mut c = [[0f32; 8]; 16];
    for lane in 0..32 {
        let (g, t) = (lane >> 2, lane & 3);
        for (i, reg) in a.iter().enumerate().take(k / 4) {
            let (row, col) = (g + 8 * (i & 1), 2 * t + 8 * (i >> 1));
            fa[row][col] = value(bf, reg[lane] as u16);
            fa[row][col + 1] = value(bf, (reg[lane] >> 16) as u16);
        }
        for (i, reg) in b.iter().enumerate().take(k / 8) {
            let row = 2 * t + 8 * i;
            fb[row][g] = value(bf, reg[lane] as u16);
            fb[row + 1][g] = value(bf, (reg[lane] >> 16) as u16);
        }
        for i in 0..4 {
            let v = if acc_f16 {
                half_to_f32((acc[i / 2][lane] >> (16 * (i & 1))) as u16)
            } else {
                f32::from_bits(acc[i][lane])
            };
            c[g + 8 * (i >> 1)][2 * t + (i & 1)] = v;
        }
    }
    for (ra, rc) in fa.iter().zip(c.iter_mut()) {
        for (x, rb) in ra.iter().zip(fb.iter()).take(k) {
            for j in 0..8 {
                rc[j] += x * rb[j];
            }
        }
    }
    for lane in 0..32 {
        let (g, t) = (lane >> 2, lane & 3);
        let at = |i: usize| c[g + 8 * (i >> 1)][2 * t + (i & 1)];
        if out_f16 {
            for (i, r) in acc.iter_mut().enumerate().take(2) {
                let (lo, hi) = (f32_to_half(at(2 * i)), f32_to_half(at(2 * i + 1)));
                r[lane] = u32::from(lo) | u32::from(hi) << 16;
            }
        } else {
            for (i, r) in acc.iter_mut().enumerate() {
                r[lane] = at(i).to_bits();
            }
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
