//! Arithmetic, one warp register (32 lanes) at a time. Every function is total: no input makes it panic.

use crate::num::*;

/// A 32-bit register of a warp; also holds 8- and 16-bit values in its low bits.
pub(crate) type V = [u32; 32];
/// A 64-bit register of a warp.
pub(crate) type D = [u64; 32];

pub(crate) type FnW1 = fn(&V, &mut V);
pub(crate) type FnW2 = fn(&V, &V, &mut V);
pub(crate) type FnW3 = fn(&V, &V, &V, &mut V);
pub(crate) type FnD1 = fn(&D, &mut D);
pub(crate) type FnD2 = fn(&D, &D, &mut D);
pub(crate) type FnD3 = fn(&D, &D, &D, &mut D);
pub(crate) type FnDW = fn(&D, &V, &mut D);
pub(crate) type FnDWW = fn(&D, &V, &V, &mut D);
pub(crate) type FnWD1 = fn(&D, &mut V);
pub(crate) type FnDW1 = fn(&V, &mut D);
pub(crate) type FnWide2 = fn(&V, &V, &mut D);
pub(crate) type FnWide3 = fn(&V, &V, &D, &mut D);
pub(crate) type FnCmpW = fn(&V, &V) -> u32;
pub(crate) type FnCmpD = fn(&D, &D) -> u32;

macro_rules! lanes1 {
    ($ty:ty, $ia:ty, $od:ty, |$a:ident| $e:expr) => {{
        fn lanes(a: &$ia, d: &mut $od) {
            for i in 0..32 {
                let $a = a[i];
                d[i] = $e;
            }
        }
        lanes as $ty
    }};
}
macro_rules! lanes2 {
    ($ty:ty, $ia:ty, $ib:ty, $od:ty, |$a:ident, $b:ident| $e:expr) => {{
        fn lanes(a: &$ia, b: &$ib, d: &mut $od) {
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                d[i] = $e;
            }
        }
        lanes as $ty
    }};
}
macro_rules! lanes3 {
    ($ty:ty, $ia:ty, $ib:ty, $ic:ty, $od:ty, |$a:ident, $b:ident, $c:ident| $e:expr) => {{
        fn lanes(a: &$ia, b: &$ib, c: &$ic, d: &mut $od) {
            for i in 0..32 {
                let ($a, $b, $c) = (a[i], b[i], c[i]);
                d[i] = $e;
            }
        }
        lanes as $ty
    }};
}
macro_rules! w1 {
    (|$a:ident| $e:expr) => {
        lanes1!(FnW1, V, V, |$a| $e)
    };
}
macro_rules! w2 {
    (|$a:ident, $b:ident| $e:expr) => {
        lanes2!(FnW2, V, V, V, |$a, $b| $e)
    };
}
macro_rules! w3 {
    (|$a:ident, $b:ident, $c:ident| $e:expr) => {
        lanes3!(FnW3, V, V, V, V, |$a, $b, $c| $e)
    };
}
macro_rules! d1 {
    (|$a:ident| $e:expr) => {
        lanes1!(FnD1, D, D, |$a| $e)
    };
}
macro_rules! d2 {
    (|$a:ident, $b:ident| $e:expr) => {
        lanes2!(FnD2, D, D, D, |$a, $b| $e)
    };
}
macro_rules! d3 {
    (|$a:ident, $b:ident, $c:ident| $e:expr) => {
        lanes3!(FnD3, D, D, D, D, |$a, $b, $c| $e)
    };
}
macro_rules! dw {
    (|$a:ident, $b:ident| $e:expr) => {
        lanes2!(FnDW, D, V, D, |$a, $b| $e)
    };
}
macro_rules! dww {
    (|$a:ident, $b:ident, $c:ident| $e:expr) => {
        lanes3!(FnDWW, D, V, V, D, |$a, $b, $c| $e)
    };
}
macro_rules! wd1 {
    (|$a:ident| $e:expr) => {
        lanes1!(FnWD1, D, V, |$a| $e)
    };
}
macro_rules! dw1 {
    (|$a:ident| $e:expr) => {
        lanes1!(FnDW1, V, D, |$a| $e)
    };
}
macro_rules! cmpw {
    (|$a:ident, $b:ident| $e:expr) => {{
        fn lanes(a: &V, b: &V) -> u32 {
            let mut m = 0;
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                m |= u32::from($e) << i;
            }
            m
        }
        lanes as FnCmpW
    }};
}
macro_rules! cmpd {
    (|$a:ident, $b:ident| $e:expr) => {{
        fn lanes(a: &D, b: &D) -> u32 {
            let mut m = 0;
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                m |= u32::from($e) << i;
            }
            m
        }
        lanes as FnCmpD
    }};
}
pub(crate) use {d1, lanes1, w1};

/// A scalar type of PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    U8,
    S8,
    B8,
    U16,
    S16,
    B16,
    U32,
    S32,
    B32,
    U64,
    S64,
    B64,
    F16,
    F16x2,
    BF16,
    BF16x2,
    F32,
    F64,
    B128,
    Pred,
}

impl Ty {
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "u8" => Self::U8,
            "s8" => Self::S8,
            "b8" => Self::B8,
            "u16" => Self::U16,
            "s16" => Self::S16,
            "b16" => Self::B16,
            "u32" => Self::U32,
            "s32" => Self::S32,
            "b32" => Self::B32,
            "u64" => Self::U64,
            "s64" => Self::S64,
            "b64" => Self::B64,
            "f16" => Self::F16,
            "f16x2" => Self::F16x2,
            "bf16" => Self::BF16,
            "bf16x2" => Self::BF16x2,
            "f32" => Self::F32,
            "f64" => Self::F64,
            "b128" => Self::B128,
            "pred" => Self::Pred,
            _ => return None,
        })
    }
    pub fn bytes(self) -> u32 {
        match self {
            Self::U8 | Self::S8 | Self::B8 | Self::Pred => 1,
            Self::U16 | Self::S16 | Self::B16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::S32 | Self::B32 | Self::F32 | Self::F16x2 | Self::BF16x2 => 4,
            Self::U64 | Self::S64 | Self::B64 | Self::F64 => 8,
            Self::B128 => 16,
        }
    }
    pub fn is64(self) -> bool {
        self.bytes() == 8
    }
    pub fn signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32 | Self::S64)
    }
    pub fn float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }
}

/// Rounding of a conversion or of arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rnd {
    Near,
    Zero,
    Down,
    Up,
    Away,
}

fn div0_u32(a: u32, b: u32) -> u32 {
    a.checked_div(b).unwrap_or(u32::MAX)
}
fn div0_s32(a: u32, b: u32) -> u32 {
    if b == 0 { u32::MAX } else { (a as i32).wrapping_div(b as i32) as u32 }
}
fn rem0_u32(a: u32, b: u32) -> u32 {
    a.checked_rem(b).unwrap_or(a)
}
fn rem0_s32(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }
}
fn div0_s64(a: u64, b: u64) -> u64 {
    if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 }
}
fn rem0_s64(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }
}
fn sx16(a: u32) -> i32 {
    a as u16 as i16 as i32
}
fn zx16(a: u32) -> u32 {
    a & 0xffff
}

/// Two-operand integer and bit arithmetic on registers of at most 32 bits.
pub(crate) fn int_w2(op: &str, ty: Ty) -> Option<FnW2> {
    use Ty::*;
    Some(match (op, ty) {
        ("add", U32 | S32 | U16 | S16) => w2!(|a, b| a.wrapping_add(b)),
        ("sub", U32 | S32 | U16 | S16) => w2!(|a, b| a.wrapping_sub(b)),
        ("mul.lo", U32 | S32 | U16 | S16) => w2!(|a, b| a.wrapping_mul(b)),
        ("mul.hi", U32) => w2!(|a, b| ((u64::from(a) * u64::from(b)) >> 32) as u32),
        ("mul.hi", S32) => w2!(|a, b| ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32),
        ("mul.hi", U16) => w2!(|a, b| (zx16(a) * zx16(b)) >> 16),
        ("mul.hi", S16) => w2!(|a, b| ((sx16(a) * sx16(b)) >> 16) as u32),
        ("mul.wide", U16) => w2!(|a, b| zx16(a) * zx16(b)),
        ("mul.wide", S16) => w2!(|a, b| (sx16(a) * sx16(b)) as u32),
        ("mul24.lo", U32) => w2!(|a, b| (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff)),
        ("mul24.lo", S32) => {
            w2!(|a, b| (((a << 8) as i32 >> 8).wrapping_mul((b << 8) as i32 >> 8)) as u32)
        }
        ("div", U32) => w2!(|a, b| div0_u32(a, b)),
        ("div", S32) => w2!(|a, b| div0_s32(a, b)),
        ("div", U16) => w2!(|a, b| div0_u32(zx16(a), zx16(b))),
        ("div", S16) => w2!(|a, b| div0_s32(sx16(a) as u32, sx16(b) as u32)),
        ("rem", U32) => w2!(|a, b| rem0_u32(a, b)),
        ("rem", S32) => w2!(|a, b| rem0_s32(a, b)),
        ("rem", U16) => w2!(|a, b| rem0_u32(zx16(a), zx16(b))),
        ("rem", S16) => w2!(|a, b| rem0_s32(sx16(a) as u32, sx16(b) as u32)),
        ("min", U32) => w2!(|a, b| a.min(b)),
        ("min", S32) => w2!(|a, b| (a as i32).min(b as i32) as u32),
        ("min", U16) => w2!(|a, b| zx16(a).min(zx16(b))),
        ("min", S16) => w2!(|a, b| sx16(a).min(sx16(b)) as u32),
        ("max", U32) => w2!(|a, b| a.max(b)),
        ("max", S32) => w2!(|a, b| (a as i32).max(b as i32) as u32),
        ("max", U16) => w2!(|a, b| zx16(a).max(zx16(b))),
        ("max", S16) => w2!(|a, b| sx16(a).max(sx16(b)) as u32),
        ("add.sat", S32) => w2!(|a, b| (a as i32).saturating_add(b as i32) as u32),
        ("sub.sat", S32) => w2!(|a, b| (a as i32).saturating_sub(b as i32) as u32),
        ("and", B32 | B16) => w2!(|a, b| a & b),
        ("or", B32 | B16) => w2!(|a, b| a | b),
        ("xor", B32 | B16) => w2!(|a, b| a ^ b),
        ("shl", B32) => w2!(|a, b| if b > 31 { 0 } else { a << b }),
        ("shl", B16) => w2!(|a, b| if b > 15 { 0 } else { a << b }),
        ("shr", U32 | B32) => w2!(|a, b| if b > 31 { 0 } else { a >> b }),
        ("shr", S32) => w2!(|a, b| ((a as i32) >> b.min(31)) as u32),
        ("shr", U16 | B16) => w2!(|a, b| if b > 15 { 0 } else { zx16(a) >> b }),
        ("shr", S16) => w2!(|a, b| (sx16(a) >> b.min(15)) as u32),
        _ => return None,
    })
}

/// Two-operand integer and bit arithmetic on 64-bit registers.
pub(crate) fn int_d2(op: &str, ty: Ty) -> Option<FnD2> {
    use Ty::*;
    Some(match (op, ty) {
        ("add", U64 | S64) => d2!(|a, b| a.wrapping_add(b)),
        ("sub", U64 | S64) => d2!(|a, b| a.wrapping_sub(b)),
        ("mul.lo", U64 | S64) => d2!(|a, b| a.wrapping_mul(b)),
        ("mul.hi", U64) => d2!(|a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64),
        ("mul.hi", S64) => d2!(|a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64),
        ("div", U64) => d2!(|a, b| a.checked_div(b).unwrap_or(u64::MAX)),
        ("div", S64) => d2!(|a, b| div0_s64(a, b)),
        ("rem", U64) => d2!(|a, b| a.checked_rem(b).unwrap_or(a)),
        ("rem", S64) => d2!(|a, b| rem0_s64(a, b)),
        ("min", U64) => d2!(|a, b| a.min(b)),
        ("min", S64) => d2!(|a, b| (a as i64).min(b as i64) as u64),
        ("max", U64) => d2!(|a, b| a.max(b)),
        ("max", S64) => d2!(|a, b| (a as i64).max(b as i64) as u64),
        ("and", B64) => d2!(|a, b| a & b),
        ("or", B64) => d2!(|a, b| a | b),
        ("xor", B64) => d2!(|a, b| a ^ b),
        _ => return None,
    })
}

/// A 64-bit shift by a 32-bit count.
pub(crate) fn shift_d(op: &str, ty: Ty) -> Option<FnDW> {
    use Ty::*;
    Some(match (op, ty) {
        ("shl", B64) => dw!(|a, b| if b > 63 { 0 } else { a << b }),
        ("shr", U64 | B64) => dw!(|a, b| if b > 63 { 0 } else { a >> b }),
        ("shr", S64) => dw!(|a, b| ((a as i64) >> b.min(63)) as u64),
        _ => return None,
    })
}

pub(crate) fn int_w1(op: &str, ty: Ty) -> Option<FnW1> {
    use Ty::*;
    Some(match (op, ty) {
        ("neg", S32 | S16) => w1!(|a| a.wrapping_neg()),
        ("abs", S32) => w1!(|a| (a as i32).wrapping_abs() as u32),
        ("abs", S16) => w1!(|a| sx16(a).wrapping_abs() as u32),
        ("not", B32 | B16) => w1!(|a| !a),
        ("cnot", B32) => w1!(|a| u32::from(a == 0)),
        ("cnot", B16) => w1!(|a| u32::from(zx16(a) == 0)),
        ("popc", B32) => w1!(|a| a.count_ones()),
        ("clz", B32) => w1!(|a| a.leading_zeros()),
        ("brev", B32) => w1!(|a| a.reverse_bits()),
        ("bfind", U32) => w1!(|a| 31u32.wrapping_sub(a.leading_zeros())),
        ("bfind.shiftamt", U32) => w1!(|a| if a == 0 { u32::MAX } else { a.leading_zeros() }),
        ("bfind", S32) => w1!(|a| 31u32.wrapping_sub(fold_sign(a).leading_zeros())),
        ("bfind.shiftamt", S32) => w1!(|a| if fold_sign(a) == 0 { u32::MAX } else { fold_sign(a).leading_zeros() }),
        _ => return None,
    })
}
fn fold_sign(a: u32) -> u32 {
    if (a as i32) < 0 { !a } else { a }
}

pub(crate) fn int_d1(op: &str, ty: Ty) -> Option<FnD1> {
    use Ty::*;
    Some(match (op, ty) {
        ("neg", S64) => d1!(|a| a.wrapping_neg()),
        ("abs", S64) => d1!(|a| (a as i64).wrapping_abs() as u64),
        ("not", B64) => d1!(|a| !a),
        ("cnot", B64) => d1!(|a| u64::from(a == 0)),
        ("brev", B64) => d1!(|a| a.reverse_bits()),
        _ => return None,
    })
}
/// Bit counts of 64-bit registers.
pub(crate) fn count_d(op: &str, ty: Ty) -> Option<FnWD1> {
    use Ty::*;
    Some(match (op, ty) {
        ("popc", B64) => wd1!(|a| a.count_ones()),
        ("clz", B64) => wd1!(|a| a.leading_zeros()),
        ("bfind", U64) => wd1!(|a| 63u32.wrapping_sub(a.leading_zeros())),
        ("bfind.shiftamt", U64) => wd1!(|a| if a == 0 { u32::MAX } else { a.leading_zeros() }),
        _ => return None,
    })
}
pub(crate) fn int_w3(op: &str, ty: Ty) -> Option<FnW3> {
    use Ty::*;
    Some(match (op, ty) {
        ("mad.lo", U32 | S32 | U16 | S16) => w3!(|a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        ("mad.hi", U32) => {
            w3!(|a, b, c| (((u64::from(a) * u64::from(b)) >> 32) as u32).wrapping_add(c))
        }
        ("mad.hi", S32) => w3!(|a, b, c| (((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32).wrapping_add(c)),
        ("mad.wide", U16) => w3!(|a, b, c| (zx16(a) * zx16(b)).wrapping_add(c)),
        ("mad.wide", S16) => w3!(|a, b, c| ((sx16(a) * sx16(b)) as u32).wrapping_add(c)),
        ("mad24.lo", U32) => {
            w3!(|a, b, c| (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff).wrapping_add(c))
        }
        ("sad", U32) => w3!(|a, b, c| a.abs_diff(b).wrapping_add(c)),
        ("sad", S32) => w3!(|a, b, c| (a as i32).abs_diff(b as i32).wrapping_add(c)),
        ("bfe", U32) => w3!(|a, b, c| bfe_u(a, b, c)),
        ("bfe", S32) => w3!(|a, b, c| bfe_s(a, b, c)),
        ("shf.l.clamp", B32) => {
            w3!(|a, b, c| if c > 31 { a } else { (((u64::from(b) << 32 | u64::from(a)) << c) >> 32) as u32 })
        }
        ("shf.l.wrap", B32) => {
            w3!(|a, b, c| (((u64::from(b) << 32 | u64::from(a)) << (c & 31)) >> 32) as u32)
        }
        ("shf.r.clamp", B32) => {
            w3!(|a, b, c| ((u64::from(b) << 32 | u64::from(a)) >> c.min(32)) as u32)
        }
        ("shf.r.wrap", B32) => {
            w3!(|a, b, c| ((u64::from(b) << 32 | u64::from(a)) >> (c & 31)) as u32)
        }
        ("prmt", B32) => w3!(|a, b, c| prmt(a, b, c)),
        ("prmt.f4e", B32) => {
            w3!(|a, b, c| prmt(a, b, [0x3210, 0x4321, 0x5432, 0x6543][c as usize & 3]))
        }
        ("prmt.b4e", B32) => {
            w3!(|a, b, c| prmt(a, b, [0x5670, 0x6701, 0x7012, 0x0123][c as usize & 3]))
        }
        ("prmt.rc8", B32) => {
            w3!(|a, b, c| prmt(a, b, [0x0000, 0x1111, 0x2222, 0x3333][c as usize & 3]))
        }
        ("prmt.ecl", B32) => {
            w3!(|a, b, c| prmt(a, b, [0x3210, 0x3211, 0x3222, 0x3333][c as usize & 3]))
        }
        ("prmt.ecr", B32) => {
            w3!(|a, b, c| prmt(a, b, [0x0000, 0x1110, 0x2210, 0x3210][c as usize & 3]))
        }
        ("prmt.rc16", B32) => {
            w3!(|a, b, c| prmt(a, b, [0x1010, 0x3232, 0x1010, 0x3232][c as usize & 3]))
        }
        ("dp4a.s32", S32) => w3!(|a, b, c| dp4a(a, b, c, true, true)),
        ("dp4a.s32", U32) => w3!(|a, b, c| dp4a(a, b, c, true, false)),
        ("dp4a.u32", S32) => w3!(|a, b, c| dp4a(a, b, c, false, true)),
        ("dp4a.u32", U32) => w3!(|a, b, c| dp4a(a, b, c, false, false)),
        _ => return None,
    })
}
pub(crate) fn int_d3(op: &str, ty: Ty) -> Option<FnD3> {
    use Ty::*;
    Some(match (op, ty) {
        ("mad.lo", U64 | S64) => d3!(|a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        ("mad.hi", U64) => {
            d3!(|a, b, c| (((u128::from(a) * u128::from(b)) >> 64) as u64).wrapping_add(c))
        }
        ("mad.hi", S64) => {
            d3!(|a, b, c| (((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64).wrapping_add(c))
        }
        _ => return None,
    })
}
pub(crate) fn bfe_d(ty: Ty) -> Option<FnDWW> {
    Some(match ty {
        Ty::U64 => dww!(|a, b, c| bfe64(a, b, c, false)),
        Ty::S64 => dww!(|a, b, c| bfe64(a, b, c, true)),
        _ => return None,
    })
}
/// 32 x 32 to 64 bits.
pub(crate) fn wide2(ty: Ty) -> Option<FnWide2> {
    Some(match ty {
        Ty::U32 => lanes2!(FnWide2, V, V, D, |a, b| u64::from(a) * u64::from(b)),
        Ty::S32 => lanes2!(FnWide2, V, V, D, |a, b| (i64::from(a as i32) * i64::from(b as i32)) as u64),
        _ => return None,
    })
}
/// 32 x 32 + 64 to 64 bits.
pub(crate) fn wide3(ty: Ty) -> Option<FnWide3> {
    Some(match ty {
        Ty::U32 => lanes3!(FnWide3, V, V, D, D, |a, b, c| (u64::from(a) * u64::from(b)).wrapping_add(c)),
        Ty::S32 => {
            lanes3!(FnWide3, V, V, D, D, |a, b, c| ((i64::from(a as i32) * i64::from(b as i32)) as u64).wrapping_add(c))
        }
        _ => return None,
    })
}

/// The bits of a field, zero extended.
pub(crate) fn bfe_u(a: u32, b: u32, c: u32) -> u32 {
    let (pos, len) = (b & 0xff, c & 0xff);
    if pos > 31 || len == 0 {
        return 0;
    }
    let x = a >> pos;
    if len > 31 { x } else { x & ((1 << len) - 1) }
}
/// The bits of a field, sign extended from the field's top bit or, beyond bit 31, from bit 31.
pub(crate) fn bfe_s(a: u32, b: u32, c: u32) -> u32 {
    bfe64(a as i32 as i64 as u64, b, c, true) as u32
}
fn bfe64(a: u64, b: u32, c: u32, signed: bool) -> u64 {
    let (pos, len) = (b & 0xff, c & 0xff);
    if len == 0 {
        return 0;
    }
    if !signed {
        let x = if pos > 63 { 0 } else { a >> pos };
        return if len > 63 { x } else { x & ((1 << len) - 1) };
    }
    let x = (a as i64) >> pos.min(63);
    if len > 63 { x as u64 } else { ((x << (64 - len)) >> (64 - len)) as u64 }
}
/// Puts the low `len` bits of `a` into `b` at `pos`.
pub(crate) fn bfi32(a: u32, b: u32, pos: u32, len: u32) -> u32 {
    bfi64(u64::from(a), u64::from(b), pos.min(255), len.min(255)) as u32
}
pub(crate) fn bfi64(a: u64, b: u64, pos: u32, len: u32) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    if pos > 63 || len == 0 {
        return b;
    }
    let m = (if len > 63 { u64::MAX } else { (1 << len) - 1 }) << pos;
    (b & !m) | ((a << pos) & m)
}
/// Picks four bytes of the pair `b:a`; bit 3 of a selector replicates the byte's sign.
pub(crate) fn prmt(a: u32, b: u32, sel: u32) -> u32 {
    let x = (u64::from(b) << 32) | u64::from(a);
    let mut r = 0;
    for i in 0..4 {
        let s = (sel >> (4 * i)) & 15;
        let byte = (x >> (8 * (s & 7))) as u8;
        let byte = if s & 8 != 0 { ((byte as i8) >> 7) as u8 } else { byte };
        r |= u32::from(byte) << (8 * i);
    }
    r
}
fn dp4a(a: u32, b: u32, c: u32, sa: bool, sb: bool) -> u32 {
    let mut s = c;
    for i in 0..4 {
        let f = |v: u32, sg: bool| {
            if sg { (v >> (8 * i)) as i8 as i32 } else { i32::from((v >> (8 * i)) as u8) }
        };
        s = s.wrapping_add((f(a, sa) * f(b, sb)) as u32);
    }
    s
}
/// Any function of three bits, given by its truth table.
pub(crate) fn lop3(a: u32, b: u32, c: u32, lut: u8) -> u32 {
    let mut r = 0;
    for i in 0..8u32 {
        if lut >> i & 1 != 0 {
            let pick = |v: u32, bit: u32| if i >> bit & 1 != 0 { v } else { !v };
            r |= pick(a, 2) & pick(b, 1) & pick(c, 0);
        }
    }
    r
}

fn f(a: u32) -> f32 {
    f32::from_bits(a)
}
fn g(a: u64) -> f64 {
    f64::from_bits(a)
}
fn h(a: u32) -> f32 {
    half_to_f32(a as u16)
}
fn hr(x: f32) -> u32 {
    u32::from(f32_to_half(x))
}
fn bf(a: u32) -> f32 {
    f32::from_bits(a << 16)
}
fn bfr(x: f32) -> u32 {
    u32::from(f32_to_bf16(x))
}
fn x2(a: u32, b: u32, o: fn(f32, f32) -> f32) -> u32 {
    hr(o(h(a), h(b))) | hr(o(h(a >> 16), h(b >> 16))) << 16
}
fn bx2(a: u32, b: u32, o: fn(f32, f32) -> f32) -> u32 {
    bfr(o(bf(a), bf(b))) | bfr(o(bf(a >> 16), bf(b >> 16))) << 16
}
fn hfma(a: u32, b: u32, c: u32) -> u32 {
    u32::from(f64_to_half(sum_odd(f64::from(h(a)) * f64::from(h(b)), f64::from(h(c)))))
}
fn bfma(a: u32, b: u32, c: u32) -> u32 {
    bfr(f64_to_f32_odd(sum_odd(f64::from(bf(a)) * f64::from(bf(b)), f64::from(bf(c)))))
}

/// The smaller of two numbers; a NaN loses, and -0 is below +0.
pub(crate) fn fmin(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else if a == b {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}
pub(crate) fn fmax(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else if a == b {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}
pub(crate) fn dmin(a: f64, b: f64) -> f64 {
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else if a == b {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}
pub(crate) fn dmax(a: f64, b: f64) -> f64 {
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else if a == b {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

pub(crate) fn float_w2(op: &str, ty: Ty, r: Rnd) -> Option<FnW2> {
    use Ty::*;
    Some(match (op, ty, r) {
        ("add", F32, Rnd::Near) => w2!(|a, b| (f(a) + f(b)).to_bits()),
        ("sub", F32, Rnd::Near) => w2!(|a, b| (f(a) - f(b)).to_bits()),
        ("mul", F32, Rnd::Near) => w2!(|a, b| (f(a) * f(b)).to_bits()),
        ("div", F32, Rnd::Near) => w2!(|a, b| (f(a) / f(b)).to_bits()),
        ("min", F32, _) => w2!(|a, b| fmin(f(a), f(b)).to_bits()),
        ("max", F32, _) => w2!(|a, b| fmax(f(a), f(b)).to_bits()),
        ("add", F32, Rnd::Zero) => w2!(|a, b| fma_dir(1.0, f(a), f(b), Rnd::Zero).to_bits()),
        ("add", F32, Rnd::Down) => w2!(|a, b| fma_dir(1.0, f(a), f(b), Rnd::Down).to_bits()),
        ("add", F32, Rnd::Up) => w2!(|a, b| fma_dir(1.0, f(a), f(b), Rnd::Up).to_bits()),
        ("sub", F32, Rnd::Zero) => w2!(|a, b| fma_dir(1.0, f(a), -f(b), Rnd::Zero).to_bits()),
        ("sub", F32, Rnd::Down) => w2!(|a, b| fma_dir(1.0, f(a), -f(b), Rnd::Down).to_bits()),
        ("sub", F32, Rnd::Up) => w2!(|a, b| fma_dir(1.0, f(a), -f(b), Rnd::Up).to_bits()),
        ("mul", F32, Rnd::Zero) => w2!(|a, b| fma_dir(f(a), f(b), -0.0, Rnd::Zero).to_bits()),
        ("mul", F32, Rnd::Down) => w2!(|a, b| fma_dir(f(a), f(b), 0.0, Rnd::Down).to_bits()),
        ("mul", F32, Rnd::Up) => w2!(|a, b| fma_dir(f(a), f(b), -0.0, Rnd::Up).to_bits()),
        ("copysign", F32, _) => w2!(|a, b| (b & 0x7fff_ffff) | (a & 0x8000_0000)),
        ("add", F16, _) => w2!(|a, b| hr(h(a) + h(b))),
        ("sub", F16, _) => w2!(|a, b| hr(h(a) - h(b))),
        ("mul", F16, _) => w2!(|a, b| hr(h(a) * h(b))),
        ("min", F16, _) => w2!(|a, b| hr(fmin(h(a), h(b)))),
        ("max", F16, _) => w2!(|a, b| hr(fmax(h(a), h(b)))),
        ("add", F16x2, _) => w2!(|a, b| x2(a, b, |x, y| x + y)),
        ("sub", F16x2, _) => w2!(|a, b| x2(a, b, |x, y| x - y)),
        ("mul", F16x2, _) => w2!(|a, b| x2(a, b, |x, y| x * y)),
        ("min", F16x2, _) => w2!(|a, b| x2(a, b, fmin)),
        ("max", F16x2, _) => w2!(|a, b| x2(a, b, fmax)),
        ("add", BF16, _) => w2!(|a, b| bfr(bf(a) + bf(b))),
        ("sub", BF16, _) => w2!(|a, b| bfr(bf(a) - bf(b))),
        ("mul", BF16, _) => w2!(|a, b| bfr(bf(a) * bf(b))),
        ("min", BF16, _) => w2!(|a, b| bfr(fmin(bf(a), bf(b)))),
        ("max", BF16, _) => w2!(|a, b| bfr(fmax(bf(a), bf(b)))),
        ("add", BF16x2, _) => w2!(|a, b| bx2(a, b, |x, y| x + y)),
        ("sub", BF16x2, _) => w2!(|a, b| bx2(a, b, |x, y| x - y)),
        ("mul", BF16x2, _) => w2!(|a, b| bx2(a, b, |x, y| x * y)),
        ("min", BF16x2, _) => w2!(|a, b| bx2(a, b, fmin)),
        ("max", BF16x2, _) => w2!(|a, b| bx2(a, b, fmax)),
        _ => return None,
    })
}
pub(crate) fn float_d2(op: &str, r: Rnd) -> Option<FnD2> {
    Some(match (op, r) {
        ("add", Rnd::Near) => d2!(|a, b| (g(a) + g(b)).to_bits()),
        ("sub", Rnd::Near) => d2!(|a, b| (g(a) - g(b)).to_bits()),
        ("mul", Rnd::Near) => d2!(|a, b| (g(a) * g(b)).to_bits()),
        ("div", Rnd::Near) => d2!(|a, b| (g(a) / g(b)).to_bits()),
        ("min", _) => d2!(|a, b| dmin(g(a), g(b)).to_bits()),
        ("max", _) => d2!(|a, b| dmax(g(a), g(b)).to_bits()),
        ("copysign", _) => d2!(|a, b| (b & (u64::MAX >> 1)) | (a & (1 << 63))),
        _ => return None,
    })
}
pub(crate) fn float_w3(op: &str, ty: Ty, r: Rnd) -> Option<FnW3> {
    use Ty::*;
    Some(match (op, ty, r) {
        ("fma" | "mad", F32, Rnd::Near) => w3!(|a, b, c| f(a).mul_add(f(b), f(c)).to_bits()),
        ("fma" | "mad", F32, Rnd::Zero) => {
            w3!(|a, b, c| fma_dir(f(a), f(b), f(c), Rnd::Zero).to_bits())
        }
        ("fma" | "mad", F32, Rnd::Down) => {
            w3!(|a, b, c| fma_dir(f(a), f(b), f(c), Rnd::Down).to_bits())
        }
        ("fma" | "mad", F32, Rnd::Up) => {
            w3!(|a, b, c| fma_dir(f(a), f(b), f(c), Rnd::Up).to_bits())
        }
        ("fma", F16, Rnd::Near) => w3!(|a, b, c| hfma(a, b, c)),
        ("fma", F16x2, Rnd::Near) => {
            w3!(|a, b, c| hfma(a, b, c) | hfma(a >> 16, b >> 16, c >> 16) << 16)
        }
        ("fma", BF16, Rnd::Near) => w3!(|a, b, c| bfma(a, b, c)),
        ("fma", BF16x2, Rnd::Near) => {
            w3!(|a, b, c| bfma(a, b, c) | bfma(a >> 16, b >> 16, c >> 16) << 16)
        }
        ("fma.relu", F16, Rnd::Near) => w3!(|a, b, c| hr(fmax(h(hfma(a, b, c)), 0.0))),
        _ => return None,
    })
}
pub(crate) fn float_d3(op: &str, r: Rnd) -> Option<FnD3> {
    Some(match (op, r) {
        ("fma" | "mad", Rnd::Near) => d3!(|a, b, c| g(a).mul_add(g(b), g(c)).to_bits()),
        _ => return None,
    })
}
pub(crate) fn float_w1(op: &str, ty: Ty) -> Option<FnW1> {
    use Ty::*;
    Some(match (op, ty) {
        ("neg", F32) => w1!(|a| a ^ 0x8000_0000),
        ("abs", F32) => w1!(|a| a & 0x7fff_ffff),
        ("neg", F16 | BF16) => w1!(|a| a ^ 0x8000),
        ("abs", F16 | BF16) => w1!(|a| a & 0x7fff),
        ("neg", F16x2 | BF16x2) => w1!(|a| a ^ 0x8000_8000),
        ("abs", F16x2 | BF16x2) => w1!(|a| a & 0x7fff_7fff),
        ("sqrt", F32) => w1!(|a| f(a).sqrt().to_bits()),
        ("rsqrt", F32) => w1!(|a| ((1.0 / f64::from(f(a)).sqrt()) as f32).to_bits()),
        ("rcp", F32) => w1!(|a| (1.0 / f(a)).to_bits()),
        ("ex2", F32) => w1!(|a| (f64::from(f(a)).exp2() as f32).to_bits()),
        ("lg2", F32) => w1!(|a| (f64::from(f(a)).log2() as f32).to_bits()),
        ("sin", F32) => w1!(|a| (f64::from(f(a)).sin() as f32).to_bits()),
        ("cos", F32) => w1!(|a| (f64::from(f(a)).cos() as f32).to_bits()),
        ("tanh", F32) => w1!(|a| (f64::from(f(a)).tanh() as f32).to_bits()),
        ("ex2", F16) => w1!(|a| hr(h(a).exp2())),
        ("tanh", F16) => w1!(|a| hr(h(a).tanh())),
        ("ex2", F16x2) => w1!(|a| hr(h(a).exp2()) | hr(h(a >> 16).exp2()) << 16),
        ("tanh", F16x2) => w1!(|a| hr(h(a).tanh()) | hr(h(a >> 16).tanh()) << 16),
        _ => return None,
    })
}
pub(crate) fn float_d1(op: &str) -> Option<FnD1> {
    Some(match op {
        "neg" => d1!(|a| a ^ (1 << 63)),
        "abs" => d1!(|a| a & (u64::MAX >> 1)),
        "sqrt" => d1!(|a| g(a).sqrt().to_bits()),
        "rsqrt" => d1!(|a| (1.0 / g(a).sqrt()).to_bits()),
        "rcp" => d1!(|a| (1.0 / g(a)).to_bits()),
        _ => return None,
    })
}

fn ordered(a: f64, b: f64) -> bool {
    !a.is_nan() && !b.is_nan()
}

fn cmp_f(op: &str) -> Option<fn(f64, f64) -> bool> {
    Some(match op {
        "eq" => |a, b| a == b,
        "ne" => |a, b| ordered(a, b) && a != b,
        "lt" => |a, b| a < b,
        "le" => |a, b| a <= b,
        "gt" => |a, b| a > b,
        "ge" => |a, b| a >= b,
        "equ" => |a, b| !ordered(a, b) || a == b,
        "neu" => |a, b| a != b,
        "ltu" => |a, b| !ordered(a, b) || a < b,
        "leu" => |a, b| !ordered(a, b) || a <= b,
        "gtu" => |a, b| !ordered(a, b) || a > b,
        "geu" => |a, b| !ordered(a, b) || a >= b,
        "num" => ordered,
        "nan" => |a, b| !ordered(a, b),
        _ => return None,
    })
}

/// A comparison as a function of two scalars, for the types without a fast form.
pub(crate) fn cmp_float_slow(op: &str) -> Option<fn(f64, f64) -> bool> {
    cmp_f(op)
}

pub(crate) fn cmp_w(op: &str, ty: Ty) -> Option<FnCmpW> {
    use Ty::*;
    Some(match (op, ty) {
        ("eq", U32 | S32 | B32) => cmpw!(|a, b| a == b),
        ("ne", U32 | S32 | B32) => cmpw!(|a, b| a != b),
        ("lt", S32) => cmpw!(|a, b| (a as i32) < b as i32),
        ("le", S32) => cmpw!(|a, b| a as i32 <= b as i32),
        ("gt", S32) => cmpw!(|a, b| a as i32 > b as i32),
        ("ge", S32) => cmpw!(|a, b| a as i32 >= b as i32),
        ("lt" | "lo", U32) => cmpw!(|a, b| a < b),
        ("le" | "ls", U32) => cmpw!(|a, b| a <= b),
        ("gt" | "hi", U32) => cmpw!(|a, b| a > b),
        ("ge" | "hs", U32) => cmpw!(|a, b| a >= b),
        ("eq", U16 | S16 | B16) => cmpw!(|a, b| a as u16 == b as u16),
        ("ne", U16 | S16 | B16) => cmpw!(|a, b| a as u16 != b as u16),
        ("lt", S16) => cmpw!(|a, b| sx16(a) < sx16(b)),
        ("le", S16) => cmpw!(|a, b| sx16(a) <= sx16(b)),
        ("gt", S16) => cmpw!(|a, b| sx16(a) > sx16(b)),
        ("ge", S16) => cmpw!(|a, b| sx16(a) >= sx16(b)),
        ("lt" | "lo", U16) => cmpw!(|a, b| zx16(a) < zx16(b)),
        ("le" | "ls", U16) => cmpw!(|a, b| zx16(a) <= zx16(b)),
        ("gt" | "hi", U16) => cmpw!(|a, b| zx16(a) > zx16(b)),
        ("ge" | "hs", U16) => cmpw!(|a, b| zx16(a) >= zx16(b)),
        ("eq", F32) => cmpw!(|a, b| f(a) == f(b)),
        ("neu", F32) => cmpw!(|a, b| f(a) != f(b)),
        ("lt", F32) => cmpw!(|a, b| f(a) < f(b)),
        ("le", F32) => cmpw!(|a, b| f(a) <= f(b)),
        ("gt", F32) => cmpw!(|a, b| f(a) > f(b)),
        ("ge", F32) => cmpw!(|a, b| f(a) >= f(b)),
        _ => return None,
    })
}
pub(crate) fn cmp_d(op: &str, ty: Ty) -> Option<FnCmpD> {
    use Ty::*;
    Some(match (op, ty) {
        ("eq", U64 | S64 | B64) => cmpd!(|a, b| a == b),
        ("ne", U64 | S64 | B64) => cmpd!(|a, b| a != b),
        ("lt", S64) => cmpd!(|a, b| (a as i64) < b as i64),
        ("le", S64) => cmpd!(|a, b| a as i64 <= b as i64),
        ("gt", S64) => cmpd!(|a, b| a as i64 > b as i64),
        ("ge", S64) => cmpd!(|a, b| a as i64 >= b as i64),
        ("lt" | "lo", U64) => cmpd!(|a, b| a < b),
        ("le" | "ls", U64) => cmpd!(|a, b| a <= b),
        ("gt" | "hi", U64) => cmpd!(|a, b| a > b),
        ("ge" | "hs", U64) => cmpd!(|a, b| a >= b),
        _ => return None,
    })
}

/// Conversions that kernels use in inner loops; the others go through [`convert`].
pub(crate) enum FastCvt {
    WW(FnW1),
    WD(FnWD1),
    DW(FnDW1),
    DD(FnD1),
}

pub(crate) fn fast_cvt(dst: Ty, src: Ty) -> Option<FastCvt> {
    use Ty::*;
    Some(match (dst, src) {
        (U64 | S64, U32) => FastCvt::DW(dw1!(|a| u64::from(a))),
        (U64 | S64, S32) => FastCvt::DW(dw1!(|a| a as i32 as i64 as u64)),
        (U32 | S32, U64 | S64) => FastCvt::WD(wd1!(|a| a as u32)),
        (U32 | S32, U16) => FastCvt::WW(w1!(|a| zx16(a))),
        (U32 | S32, S16) => FastCvt::WW(w1!(|a| sx16(a) as u32)),
        (U16 | S16, U32 | S32) => FastCvt::WW(w1!(|a| zx16(a))),
        (U32 | S32, U32 | S32) => FastCvt::WW(w1!(|a| a)),
        (U64 | S64, U64 | S64) => FastCvt::DD(d1!(|a| a)),
        (F32, F16) => FastCvt::WW(w1!(|a| h(a).to_bits())),
        (F32, BF16) => FastCvt::WW(w1!(|a| a << 16)),
        _ => return None,
    })
}
/// `cvt.rn.f16.f32`, the narrowing of every epilogue.
pub(crate) fn cvt_half() -> FnW1 {
    w1!(|a| hr(f(a)))
}

/// A conversion of one value; `bits` holds the source in its low bits, the result likewise.
pub(crate) fn convert(dst: Ty, src: Ty, r: Rnd, to_int: bool, sat: bool, bits: u64) -> u64 {
    use Ty::*;
    let int: Option<i128> = match src {
        U8 | B8 => Some(i128::from(bits as u8)),
        S8 => Some(i128::from(bits as i8)),
        U16 | B16 => Some(i128::from(bits as u16)),
        S16 => Some(i128::from(bits as i16)),
        U32 | B32 => Some(i128::from(bits as u32)),
        S32 => Some(i128::from(bits as i32)),
        U64 | B64 => Some(i128::from(bits)),
        S64 => Some(i128::from(bits as i64)),
        _ => None,
    };
    let range = |t: Ty| -> (i128, i128) {
        let n = t.bytes() * 8;
        if t.signed() { (-(1i128 << (n - 1)), (1i128 << (n - 1)) - 1) } else { (0, (1i128 << n) - 1) }
    };
    let keep = |v: i128, t: Ty| (v as u64) & if t.is64() { u64::MAX } else { (1u64 << (t.bytes() * 8)) - 1 };
    if let Some(v) = int {
        if !dst.float() {
            let (lo, hi) = range(dst);
            let v = if sat { v.clamp(lo, hi) } else { v };
            // A register is at least as wide as its type: a signed narrow result is sign extended into it.
            return if dst.signed() && !dst.is64() {
                let s = 64 - dst.bytes() * 8;
                ((((v as u64) << s) as i64) >> s) as u32 as u64
            } else {
                keep(v, dst)
            };
        }
        return match dst {
            F64 => int_to_f64(v, r).to_bits(),
            F32 => u64::from(int_to_f32(v, r).to_bits()),
            F16 => u64::from(f64_to_half_rnd(v as f64, r)),
            _ => u64::from(f32_to_bf16(f64_to_f32_odd(v as f64))),
        };
    }
    let x: f64 = match src {
        F64 => f64::from_bits(bits),
        F32 => f64::from(f32::from_bits(bits as u32)),
        F16 => f64::from(half_to_f32(bits as u16)),
        _ => f64::from(f32::from_bits((bits as u32) << 16)),
    };
    if !dst.float() {
        let y = round_int(x, r);
        let (lo, hi) = range(dst);
        let v = if y.is_nan() { 0 } else { (y as i128).clamp(lo, hi) };
        return if dst.is64() { v as u64 } else { v as u32 as u64 };
    }
    let x = if to_int { round_int(x, r) } else { x };
    let x = if sat { if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) } } else { x };
    let r = if to_int { Rnd::Near } else { r };
    match dst {
        F64 => x.to_bits(),
        F32 => u64::from(f64_to_f32_rnd(x, r).to_bits()),
        F16 => u64::from(f64_to_half_rnd(x, r)),
        _ => u64::from(if r == Rnd::Zero {
            (f64_to_f32_rnd(x, Rnd::Zero).to_bits() >> 16) as u16
        } else {
            f32_to_bf16(f64_to_f32_odd(x))
        }),
    }
}
