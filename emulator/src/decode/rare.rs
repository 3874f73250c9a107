//! Forms that kernels use seldom. Each is a function of one lane's operands, which is slower than the functions of whole registers in
//! [`crate::alu`] and as good everywhere else.

use super::*;
use crate::num::*;

/// The halves of a value, or the value.
fn elements(pair: bool, f: impl Fn(u16, u16, u16) -> u16) -> impl Fn(u64, u64, u64) -> u64 {
    move |a, b, c| {
        let at = |s: u32| u64::from(f((a >> s) as u16, (b >> s) as u16, (c >> s) as u16)) << s;
        if pair { at(0) | at(16) } else { at(0) }
    }
}

fn half_format(ty: Ty) -> Option<(Format, bool)> {
    Some(match ty {
        Ty::F16 => (F16, false),
        Ty::F16x2 => (F16, true),
        Ty::BF16 => (BF16, false),
        Ty::BF16x2 => (BF16, true),
        _ => return None,
    })
}

/// The value of the lower bits of a register as an integer type.
fn integer(ty: Ty, bits: u64) -> i128 {
    let n = ty.bytes() * 8;
    let v = if n == 64 { bits } else { bits & ((1 << n) - 1) };
    if ty.signed() { i128::from(((v << (64 - n)) as i64) >> (64 - n)) } else { i128::from(v) }
}

fn float(ty: Ty, bits: u64, ftz: bool) -> f64 {
    match ty {
        Ty::F64 => f64::from_bits(bits),
        Ty::F32 if ftz && bits & 0x7f80_0000 == 0 => f64::from(f32::from_bits(bits as u32 & 0x8000_0000)),
        Ty::F32 => f64::from(f32::from_bits(bits as u32)),
        Ty::F16 | Ty::F16x2 => F16.value(bits as u32 & if ftz && bits & 0x7c00 == 0 { 0x8000 } else { 0xffff }),
        _ => BF16.value(bits as u32 & 0xffff),
    }
}

type Compare = Box<dyn Fn(u64, u64) -> bool + Send + Sync>;

/// A comparison of two registers as values of a type.
fn comparison(cmp: &str, ty: Ty, ftz: bool) -> Option<Compare> {
    if ty.float() || matches!(ty, Ty::F16x2 | Ty::BF16x2) {
        let f = cmp_float_slow(cmp)?;
        return Some(Box::new(move |a, b| f(float(ty, a, ftz), float(ty, b, ftz))));
    }
    let bits = matches!(ty, Ty::B16 | Ty::B32 | Ty::B64);
    let f: fn(i128, i128) -> bool = match cmp {
        "eq" => |a, b| a == b,
        "ne" => |a, b| a != b,
        _ if bits => return None,
        "lt" => |a, b| a < b,
        "le" => |a, b| a <= b,
        "gt" => |a, b| a > b,
        "ge" => |a, b| a >= b,
        _ if ty.signed() => return None,
        "lo" => |a, b| a < b,
        "ls" => |a, b| a <= b,
        "hi" => |a, b| a > b,
        "hs" => |a, b| a >= b,
        _ => return None,
    };
    Some(Box::new(move |a, b| f(integer(ty, a), integer(ty, b))))
}

fn sext(v: u32, at: u32, bits: u32) -> i64 {
    i64::from(((v >> at << (32 - bits)) as i32) >> (32 - bits))
}

impl<'a> Decoder<'_, 'a> {
    pub(super) fn scalar(
        &mut self,
        d: &[Reg],
        s: &[Reg],
        f: impl Fn(&[u64]) -> [u64; 2] + Send + Sync + 'static,
    ) -> R<()> {
        self.push(Op::Scalar(Scalar::new(d, s, f)))
    }

    /// Operands of one type after a destination, as registers.
    fn sources(&mut self, o: &[Opd<'a>], ty: Ty) -> R<Vec<Reg>> {
        o.iter().map(|x| self.src(x, ty)).collect()
    }

    fn result(&mut self, o: &Opd<'a>, ty: Ty) -> R<Reg> {
        self.dst(o, ty)
    }

    /// Decodes the opcode if it is one of the forms here; otherwise leaves everything as it was.
    pub(super) fn rare(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<bool> {
        let has = |x: &str| m.rest.contains(&x);
        let halves = ["f16", "f16x2", "bf16", "bf16x2"].iter().any(|t| has(t));
        let directed = has("rz") || has("rm") || has("rp");
        let packed = has("u16x2") || has("s16x2");
        match base {
            "addc" | "subc" | "madc" => self.carry(base, m, ops)?,
            "add" | "sub" | "mad" if has("cc") => self.carry(base, m, ops)?,
            "min" | "max" if has("NaN") || has("xorsign") || has("relu") || packed || (halves && has("ftz")) => {
                self.min_max(base, m, ops)?;
            }
            "add" if packed => self.min_max(base, m, ops)?,
            "add" | "sub" | "mul" | "fma" if halves && (has("ftz") || has("sat") || has("relu")) => {
                self.half_arithmetic(base, m, ops)?;
            }
            "div" | "rcp" | "sqrt" if directed => self.directed(base, m, ops)?,
            "add" | "sub" | "mul" | "fma" | "mad" if directed && has("f64") => self.directed(base, m, ops)?,
            "tanh" | "ex2" if has("bf16") || has("bf16x2") => {
                m.take("approx");
                if base == "ex2" && !m.take("ftz") {
                    return self.unknown("ftz");
                }
                let pair = m.ty() == Some(Ty::BF16x2);
                let o = self.need(ops, 2)?;
                let (d, a) = (self.result(&o[0], Ty::B32)?, self.src(&o[1], Ty::B32)?);
                let one: fn(f64) -> f64 = if base == "ex2" { f64::exp2 } else { f64::tanh };
                let f = elements(pair, move |a, _, _| {
                    BF16.encode(one(float(Ty::BF16, u64::from(a), false)), Rnd::Near, false) as u16
                });
                self.scalar(&[d], &[a], move |s| [f(s[0], 0, 0), 0])?;
            }
            "testp" => {
                let what = m.any(&["finite", "infinite", "number", "notanumber", "normal", "subnormal"]);
                let (Some(what), Some(ty @ (Ty::F32 | Ty::F64))) = (what, m.ty()) else {
                    return self.unknown("test or type");
                };
                let o = self.need(ops, 2)?;
                let (d, a) = (Reg::P(self.dp(&o[0])?), self.src(&o[1], ty)?);
                self.scalar(&[d], &[a], move |s| {
                    use std::num::FpCategory as C;
                    let c = if ty == Ty::F64 {
                        f64::from_bits(s[0]).classify()
                    } else {
                        f32::from_bits(s[0] as u32).classify()
                    };
                    let yes = match what {
                        "finite" => !matches!(c, C::Nan | C::Infinite),
                        "infinite" => c == C::Infinite,
                        "number" => c != C::Nan,
                        "notanumber" => c == C::Nan,
                        // Zero counts as normal.
                        "normal" => matches!(c, C::Normal | C::Zero),
                        _ => c == C::Subnormal,
                    };
                    [u64::from(yes), 0]
                })?;
            }
            "szext" | "bmsk" | "fns" | "dp2a" | "mul24" | "mad24" | "sad" | "slct" | "bfind" => {
                return self.rare_integer(base, m, ops);
            }
            "mad" if has("hi") && (has("sat") || has("u16") || has("s16")) => return self.rare_integer(base, m, ops),
            "lop3" if has("and") || has("or") => {
                let or = m.any(&["and", "or"]) == Some("or");
                m.take("b32");
                let o = self.need(ops, 6)?;
                let (Opd::Pair(d, p), Opd::Int(lut)) = (&o[0], &o[4]) else {
                    return self.unknown("operands");
                };
                let (d, p) = (Reg::W(self.dw(d)?), Reg::P(self.dp(p)?));
                let mut s = self.sources(&o[1..4], Ty::B32)?;
                s.push(Reg::P(self.plain_p(&o[5])?));
                let lut = *lut as u8;
                self.scalar(&[d, p], &s, move |s| {
                    let r = lop3(s[0] as u32, s[1] as u32, s[2] as u32, lut);
                    let (some, q) = (r != 0, s[3] != 0);
                    [u64::from(r), u64::from(if or { some || q } else { some && q })]
                })?;
            }
            "isspacep" => {
                let Some(what) = m.any(&[
                    "global",
                    "shared::cta",
                    "shared::cluster",
                    "shared",
                    "local",
                    "const",
                    "param::entry",
                    "param",
                ]) else {
                    return self.unknown("space");
                };
                let o = self.need(ops, 2)?;
                let (d, a) = (Reg::P(self.dp(&o[0])?), Reg::D(self.d(&o[1], Ty::U64)?));
                let rank = Reg::W(self.sreg(Sreg::ClusterRank));
                self.scalar(&[d], &[a, rank], move |s| {
                    let inside = |w: u64| (w..w + WINDOW_SIZE).contains(&s[0]);
                    let block = s[0] >> 24 & 0xff;
                    let yes = match what {
                        "shared::cluster" => inside(SHARED_WINDOW),
                        "shared" | "shared::cta" => inside(SHARED_WINDOW) && (block == 0 || block == s[1] + 1),
                        "local" => inside(LOCAL_WINDOW),
                        "param" | "param::entry" => inside(PARAM_WINDOW),
                        // Constant variables lie in global memory here.
                        "const" => false,
                        _ => !inside(SHARED_WINDOW) && !inside(LOCAL_WINDOW) && !inside(PARAM_WINDOW),
                    };
                    [u64::from(yes), 0]
                })?;
            }
            "setp" if has("f16x2") || has("bf16x2") => self.set_pair(m, ops)?,
            "set" => self.set(m, ops)?,
            "cvt" => return self.rare_cvt(m, ops),
            "mov" => return self.rare_mov(m, ops),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Additions and subtractions that take or give the carry, of which every thread has one.
    fn carry(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let (takes, gives) = (base.ends_with('c'), m.take("cc"));
        let op = base.trim_end_matches('c');
        let high = m.any(&["hi", "lo"]) == Some("hi");
        let Some(ty @ (Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64)) = m.ty() else {
            return self.unknown("type");
        };
        let o = self.need(ops, if op == "mad" { 4 } else { 3 })?;
        let flag = match self.carry_flag {
            Some(p) => p,
            None => {
                let Reg::P(p) = self.new_reg(Class::P) else {
                    return self.err("no predicate");
                };
                *self.carry_flag.insert(p)
            }
        };
        let mut s = self.sources(&o[1..], ty)?;
        if takes {
            s.push(Reg::P(flag));
        }
        let d = self.result(&o[0], ty)?;
        let d: &[Reg] = if gives { &[d, Reg::P(flag)] } else { &[d] };
        let bits = ty.bytes() * 8;
        let (sub, mad, signed) = (op == "sub", op == "mad", ty.signed());
        self.scalar(d, &s, move |s| {
            let mask = if bits == 64 { u64::MAX } else { u64::from(u32::MAX) };
            let last = s.len() - 1;
            let flag = if takes { u128::from(s[last]) } else { 0 };
            let (a, b) = if mad {
                let wide = if signed { Ty::S64 } else { Ty::U64 };
                let ty = if bits == 64 {
                    wide
                } else if signed {
                    Ty::S32
                } else {
                    Ty::U32
                };
                let p = integer(ty, s[0]).wrapping_mul(integer(ty, s[1]));
                ((if high { p >> bits } else { p }) as u64 & mask, s[2] & mask)
            } else {
                (s[0] & mask, s[1] & mask)
            };
            if sub {
                let take = u128::from(b) + flag;
                let borrow = u128::from(a) < take;
                return [(u128::from(a).wrapping_sub(take)) as u64 & mask, u64::from(borrow)];
            }
            let sum = u128::from(a) + u128::from(b) + flag;
            [sum as u64 & mask, (sum >> bits) as u64]
        })
    }

    fn min_max(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let (ftz, nan, relu) = (m.take("ftz"), m.take("NaN"), m.take("relu"));
        let xorsign = m.take("xorsign");
        if xorsign && !m.take("abs") {
            return self.unknown("xorsign without abs");
        }
        let max = base == "max";
        let o = self.need(ops, 3)?;
        if let Some(t) = m.any(&["u16x2", "s16x2"]) {
            let ty = if t == "u16x2" { Ty::U16 } else { Ty::S16 };
            if (relu && (ty == Ty::U16 || base == "add")) || ftz || nan || xorsign {
                return self.unknown("modifiers");
            }
            let add = base == "add";
            let f = elements(true, move |a, b, _| {
                let (x, y) = (integer(ty, u64::from(a)), integer(ty, u64::from(b)));
                let r = if add {
                    x + y
                } else if max {
                    x.max(y)
                } else {
                    x.min(y)
                };
                (if relu { r.max(0) } else { r }) as u16
            });
            let (d, s) = (self.result(&o[0], Ty::B32)?, self.sources(&o[1..], Ty::B32)?);
            return self.scalar(&[d], &s, move |s| [f(s[0], s[1], 0), 0]);
        }
        let Some(ty) = m.ty() else {
            return self.unknown("type");
        };
        let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
        if ty == Ty::S32 && relu && !ftz && !nan && !xorsign {
            return self.scalar(&[d], &s, move |s| {
                let (a, b) = (s[0] as i32, s[1] as i32);
                [u64::from((if max { a.max(b) } else { a.min(b) }).max(0) as u32), 0]
            });
        }
        let pick = move |a: f64, b: f64| {
            if nan && (a.is_nan() || b.is_nan()) {
                return f64::NAN;
            }
            let negative = a.is_sign_negative() != b.is_sign_negative();
            let (a, b) = if xorsign { (a.abs(), b.abs()) } else { (a, b) };
            let r = if max { dmax(a, b) } else { dmin(a, b) };
            if xorsign && !r.is_nan() && negative { -r } else { r }
        };
        if relu || ty == Ty::F64 {
            return self.unknown("modifiers");
        }
        if ty == Ty::F32 {
            return self.scalar(&[d], &s, move |s| {
                let r = pick(float(ty, s[0], ftz), float(ty, s[1], ftz));
                [u64::from(if r.is_nan() { 0x7fff_ffff } else { (r as f32).to_bits() }), 0]
            });
        }
        let Some((format, pair)) = half_format(ty) else {
            return self.unknown("type");
        };
        if ftz && format.m != F16.m {
            return self.unknown("ftz");
        }
        let f = elements(pair, move |a, b, _| {
            let r = pick(float(ty, u64::from(a), ftz), float(ty, u64::from(b), ftz));
            format.encode(r, Rnd::Near, false) as u16
        });
        self.scalar(&[d], &s, move |s| [f(s[0], s[1], 0), 0])
    }

    fn half_arithmetic(&mut self, base: &'_ str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let near = m.take("rn");
        let (ftz, sat, relu) = (m.take("ftz"), m.take("sat"), m.take("relu"));
        let Some((ty, (format, pair))) = m.ty().and_then(|t| half_format(t).map(|f| (t, f))) else {
            return self.unknown("type");
        };
        let fma = base == "fma";
        if (ftz && format.m != F16.m) || (sat && (relu || format.m != F16.m)) || (relu && !fma) || (fma && !near) {
            return self.unknown("modifiers");
        }
        let o = self.need(ops, if fma { 4 } else { 3 })?;
        let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
        let (sub, mul) = (base == "sub", base == "mul");
        let f = elements(pair, move |a, b, c| {
            let [x, y, z] = [a, b, c].map(|v| float(ty, u64::from(v), ftz));
            let r = if fma {
                sum_odd(x * y, z)
            } else if mul {
                x * y
            } else {
                sum_odd(x, if sub { -y } else { y })
            };
            let bits = format.encode(r, Rnd::Near, false);
            let value = format.value(bits);
            if ftz && bits & 0x7c00 == 0 {
                return bits as u16 & 0x8000;
            }
            // A NaN saturates to zero; with .relu it stays.
            if sat && (value.is_nan() || value <= 0.0) || relu && value <= 0.0 {
                return 0;
            }
            if sat && value > 1.0 { format.encode(1.0, Rnd::Near, false) as u16 } else { bits as u16 }
        });
        self.scalar(&[d], &s, move |s| [f(s[0], s[1], s.get(2).copied().unwrap_or(0)), 0])
    }

    /// Rounding other than to nearest where it is not among the fast forms.
    fn directed(&mut self, base: &'_ str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let Some(r) = m.rnd() else {
            return self.unknown("rounding");
        };
        let ftz = m.take("ftz");
        let Some(ty @ (Ty::F32 | Ty::F64)) = m.ty() else {
            return self.unknown("type");
        };
        if ftz && ty == Ty::F64 {
            return self.unknown("ftz");
        }
        let n = match base {
            "rcp" | "sqrt" => 1,
            "fma" | "mad" => 3,
            _ => 2,
        };
        let o = self.need(ops, n + 1)?;
        let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
        let kind: fn(&[f64], Rnd, bool) -> f64 = match base {
            "add" => |v, r, _| add_dir(v[0], v[1], r),
            "sub" => |v, r, _| add_dir(v[0], -v[1], r),
            "mul" => |v, r, _| mul_dir(v[0], v[1], r),
            "fma" | "mad" => |v, r, _| fma_dir64(v[0], v[1], v[2], r),
            "div" => |v, r, single| div_dir(v[0], v[1], r, single),
            "rcp" => |v, r, single| div_dir(1.0, v[0], r, single),
            _ => |v, r, single| sqrt_dir(v[0], r, single),
        };
        self.scalar(&[d], &s, move |s| {
            let v: Vec<f64> = s.iter().map(|x| float(ty, *x, ftz)).collect();
            let x = kind(&v, r, ty == Ty::F32);
            if ty == Ty::F64 {
                return [x.to_bits(), 0];
            }
            let b = (x as f32).to_bits();
            [u64::from(if ftz && b & 0x7f80_0000 == 0 { b & 0x8000_0000 } else { b }), 0]
        })
    }

    fn rare_integer(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<bool> {
        let has = |x: &str| m.rest.contains(&x);
        match base {
            "szext" => {
                let clamp = m.any(&["clamp", "wrap"]);
                let (Some(clamp), Some(ty @ (Ty::U32 | Ty::S32))) = (clamp, m.ty()) else {
                    return self.unknown("modifiers");
                };
                let o = self.need(ops, 3)?;
                let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
                let clamp = clamp == "clamp";
                self.scalar(&[d], &s, move |s| {
                    let (a, b) = (s[0] as u32, s[1] as u32);
                    let n = if clamp { b.min(32) } else { b & 31 };
                    let low = if n == 0 { 0 } else { a << (32 - n) };
                    let r = match n {
                        0 => 0,
                        _ if ty == Ty::S32 => ((low as i32) >> (32 - n)) as u32,
                        _ => low >> (32 - n),
                    };
                    [u64::from(r), 0]
                })?;
            }
            "bmsk" => {
                let clamp = m.any(&["clamp", "wrap"]) == Some("clamp");
                m.take("b32");
                let o = self.need(ops, 3)?;
                let (d, s) = (self.result(&o[0], Ty::B32)?, self.sources(&o[1..], Ty::B32)?);
                self.scalar(&[d], &s, move |s| {
                    let limit = |x: u64| if clamp { x.min(32) } else { x & 31 };
                    let (at, n) = (limit(s[0] & 0xffff_ffff), limit(s[1] & 0xffff_ffff));
                    [((1u64 << n) - 1) << at & 0xffff_ffff, 0]
                })?;
            }
            "fns" => {
                m.take("b32");
                let o = self.need(ops, 4)?;
                let (d, s) = (self.result(&o[0], Ty::B32)?, self.sources(&o[1..], Ty::B32)?);
                self.scalar(&[d], &s, move |s| {
                    let (mask, base, nth) = (s[0] as u32, s[1] as u32, s[2] as i32);
                    let set = |i: &u32| mask >> i & 1 != 0;
                    let found = match nth {
                        0 => Some(base).filter(|b| *b < 32 && set(b)),
                        n if n > 0 => (base.min(32)..32).filter(set).nth(n as usize - 1),
                        n => (0..=base.min(31)).rev().filter(set).nth(n.unsigned_abs() as usize - 1),
                    };
                    [u64::from(found.unwrap_or(u32::MAX)), 0]
                })?;
            }
            "dp2a" => {
                let high = m.any(&["hi", "lo"]) == Some("hi");
                let (Some(ta), Some(tb)) = (m.ty(), m.ty()) else {
                    return self.unknown("types");
                };
                let o = self.need(ops, 4)?;
                let (d, s) = (self.result(&o[0], Ty::B32)?, self.sources(&o[1..], Ty::B32)?);
                let (sa, sb) = (ta.signed(), tb.signed());
                self.scalar(&[d], &s, move |s| {
                    let (a, b) = (s[0] as u32, s[1] as u32 >> if high { 16 } else { 0 });
                    let mut sum = s[2] as u32;
                    for i in 0..2 {
                        let x = if sa { sext(a, 16 * i, 16) } else { i64::from(a >> (16 * i) & 0xffff) };
                        let y = if sb { sext(b, 8 * i, 8) } else { i64::from(b >> (8 * i) & 0xff) };
                        sum = sum.wrapping_add((x * y) as u32);
                    }
                    [u64::from(sum), 0]
                })?;
            }
            "mul24" | "mad24" if has("hi") || (base == "mad24" && has("s32")) => {
                let high = m.any(&["hi", "lo"]) == Some("hi");
                let sat = m.take("sat");
                let Some(ty @ (Ty::U32 | Ty::S32)) = m.ty() else {
                    return self.unknown("type");
                };
                if sat && !(high && ty == Ty::S32 && base == "mad24") {
                    return self.unknown("sat");
                }
                let o = self.need(ops, if base == "mad24" { 4 } else { 3 })?;
                let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
                self.scalar(&[d], &s, move |s| {
                    let v = |x: u64| if ty == Ty::S32 { sext(x as u32, 0, 24) } else { (x & 0xff_ffff) as i64 };
                    let p = v(s[0]) * v(s[1]);
                    let p = if high { p >> 16 } else { p } as u32 as i32;
                    let c = s.get(2).map_or(0, |c| *c as i32);
                    [u64::from(if sat { p.saturating_add(c) } else { p.wrapping_add(c) } as u32), 0]
                })?;
            }
            "mad" => {
                let sat = m.take("sat");
                m.take("hi");
                let Some(ty) = m.ty() else {
                    return self.unknown("type");
                };
                if sat && ty != Ty::S32 {
                    return self.unknown("sat");
                }
                let o = self.need(ops, 4)?;
                let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
                let bits = ty.bytes() * 8;
                self.scalar(&[d], &s, move |s| {
                    let sum = ((integer(ty, s[0]) * integer(ty, s[1])) >> bits) + integer(ty, s[2]);
                    let sum = if sat { sum.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) } else { sum };
                    [sum as u64 & ((1 << bits) - 1), 0]
                })?;
            }
            "sad" if !has("u32") && !has("s32") => {
                let Some(ty) = m.ty().filter(|t| !t.float()) else {
                    return self.unknown("type");
                };
                let o = self.need(ops, 4)?;
                let (d, s) = (self.result(&o[0], ty)?, self.sources(&o[1..], ty)?);
                self.scalar(&[d], &s, move |s| {
                    [s[2].wrapping_add((integer(ty, s[0]) - integer(ty, s[1])).unsigned_abs() as u64), 0]
                })?;
            }
            "slct" => {
                let ftz = m.take("ftz");
                let (Some(t), Some(by @ (Ty::S32 | Ty::F32))) = (m.ty(), m.ty()) else {
                    return self.unknown("types");
                };
                if ftz && by == Ty::S32 {
                    return self.unknown("ftz");
                }
                let o = self.need(ops, 4)?;
                let d = self.result(&o[0], t)?;
                let mut s = self.sources(&o[1..3], t)?;
                s.push(self.src(&o[3], by)?);
                self.scalar(&[d], &s, move |s| {
                    let first = if by == Ty::S32 { s[2] as i32 >= 0 } else { float(by, s[2], ftz) >= 0.0 };
                    [if first { s[0] } else { s[1] }, 0]
                })?;
            }
            "bfind" if has("s64") => {
                let amount = m.take("shiftamt");
                m.take("s64");
                let o = self.need(ops, 2)?;
                let (d, a) = (Reg::W(self.dw(&o[0])?), self.src(&o[1], Ty::S64)?);
                self.scalar(&[d], &[a], move |s| {
                    let v = if (s[0] as i64) < 0 { !s[0] } else { s[0] };
                    let r = match v {
                        0 => u32::MAX,
                        _ if amount => v.leading_zeros(),
                        _ => 63 - v.leading_zeros(),
                    };
                    [u64::from(r), 0]
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn comparison_mods(m: &mut Mods<'a>) -> (Option<&'static str>, Option<BoolOp>, bool) {
        let cmp = m.any(&[
            "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu",
            "num", "nan",
        ]);
        let op = m.any(&["and", "or", "xor"]).map(|x| match x {
            "and" => BoolOp::And,
            "or" => BoolOp::Or,
            _ => BoolOp::Xor,
        });
        (cmp, op, m.take("ftz"))
    }

    /// `setp` on pairs of halves: a predicate for each.
    fn set_pair(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let (cmp, op, ftz) = Self::comparison_mods(m);
        let Some(ty) = m.ty() else {
            return self.unknown("type");
        };
        let Some(f) = cmp.and_then(|c| comparison(c, ty, ftz)) else {
            return self.unknown("comparison");
        };
        let o = self.need(ops, if op.is_some() { 4 } else { 3 })?;
        let Opd::Pair(p, q) = &o[0] else {
            return self.unknown("two predicates expected");
        };
        let d = [Reg::P(self.dp(p)?), Reg::P(self.dp(q)?)];
        let mut s = self.sources(&o[1..3], ty)?;
        if op.is_some() {
            s.push(Reg::P(self.plain_p(&o[3])?));
        }
        self.scalar(&d, &s, move |s| {
            [0, 16].map(|at| u64::from(combine(f(s[0] >> at & 0xffff, s[1] >> at & 0xffff), op, s.get(2))))
        })
    }

    /// A comparison whose result is a number.
    fn set(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let (cmp, op, ftz) = Self::comparison_mods(m);
        let (Some(dt), Some(ty)) = (m.ty(), m.ty()) else {
            return self.unknown("types");
        };
        let Some(f) = cmp.and_then(|c| comparison(c, ty, ftz)) else {
            return self.unknown("comparison");
        };
        let pair = matches!(ty, Ty::F16x2 | Ty::BF16x2);
        let yes: u64 = match dt {
            Ty::U32 | Ty::S32 if pair => 0xffff,
            Ty::U32 | Ty::S32 => 0xffff_ffff,
            Ty::U16 | Ty::S16 if !pair => 0xffff,
            Ty::F32 if !pair => 0x3f80_0000,
            Ty::F16 if !pair => 0x3c00,
            Ty::BF16 if !pair => 0x3f80,
            Ty::F16x2 if pair => 0x3c00,
            Ty::BF16x2 if pair => 0x3f80,
            _ => return self.unknown("result type"),
        };
        let o = self.need(ops, if op.is_some() { 4 } else { 3 })?;
        let d = self.result(&o[0], dt)?;
        let mut s = self.sources(&o[1..3], ty)?;
        if op.is_some() {
            s.push(Reg::P(self.plain_p(&o[3])?));
        }
        self.scalar(&[d], &s, move |s| {
            let one = |a: u64, b: u64| if combine(f(a, b), op, s.get(2)) { yes } else { 0 };
            if !pair {
                return [one(s[0], s[1]), 0];
            }
            [one(s[0] & 0xffff, s[1] & 0xffff) | one(s[0] >> 16 & 0xffff, s[1] >> 16 & 0xffff) << 16, 0]
        })
    }

    /// Conversions to and from eight-bit floats and tf32, to finite numbers, and with packing of integers.
    fn rare_cvt(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<bool> {
        if m.take("pack") {
            self.pack(m, ops)?;
            return Ok(true);
        }
        let types: Vec<&str> = m
            .rest
            .iter()
            .copied()
            .filter(|x| Ty::parse(x).is_some() || matches!(*x, "tf32" | "e4m3x2" | "e5m2x2"))
            .collect();
        let [dst, src] = types[..] else { return Ok(false) };
        let eight = |t: &str| match t {
            "e4m3x2" => Some(E4M3),
            "e5m2x2" => Some(E5M2),
            _ => None,
        };
        let finite = m.rest.contains(&"satfinite");
        if eight(dst).is_none() && eight(src).is_none() && dst != "tf32" && !finite {
            return Ok(false);
        }
        m.rest.retain(|x| *x != dst && *x != src);
        let away = m.take("rna");
        let rnd = if away { Some(Rnd::Away) } else { m.rnd() };
        let (relu, finite) = (m.take("relu"), m.take("satfinite"));
        let Some(rnd) = rnd else {
            return self.unknown("no rounding");
        };
        if eight(dst).is_some() || eight(src).is_some() {
            self.requires(89, false)?;
        }
        let tie = matches!(rnd, Rnd::Near | Rnd::Zero);
        // Eight-bit floats come and go in pairs.
        let (to, from, n) = match (dst, src) {
            ("tf32", "f32") if (away && !relu) || (tie && !finite) => (TF32, None, 1),
            ("f16", "f32") if tie => (F16, None, 1),
            ("bf16", "f32") if tie => (BF16, None, 1),
            ("f16x2", "f32") if tie => (F16, None, 2),
            ("bf16x2", "f32") if tie => (BF16, None, 2),
            (d, "f32") if rnd == Rnd::Near && finite => match eight(d) {
                Some(f) => (f, None, 2),
                None => return self.unknown("types"),
            },
            (d, "f16x2") if rnd == Rnd::Near && finite => match eight(d) {
                Some(f) => (f, Some(F16), 2),
                None => return self.unknown("types"),
            },
            ("f16x2", s) if rnd == Rnd::Near && !finite => match eight(s) {
                Some(f) => (F16, Some(f), 2),
                None => return self.unknown("types"),
            },
            _ => return self.unknown("types or rounding"),
        };
        let one = move |x: f64| {
            let x = if relu && x <= 0.0 { 0.0 } else { x };
            u64::from(to.encode(x, rnd, finite)) << if to.e == TF32.e && to.m == TF32.m { 13 } else { 0 }
        };
        let width = to.bits();
        if let Some(from) = from {
            let o = self.need(ops, 2)?;
            let (d, a) = (Reg::W(self.dw(&o[0])?), Reg::W(self.w(&o[1], Ty::B32)?));
            let step = from.bits();
            self.scalar(&[d], &[a], move |s| {
                let v = |i: u32| one(from.value((s[0] >> (step * i)) as u32 & ((1 << step) - 1)));
                [v(0) | v(1) << width, 0]
            })?;
            return Ok(true);
        }
        let o = self.need(ops, 1 + n)?;
        let d = Reg::W(self.dw(&o[0])?);
        let s = self.sources(&o[1..], Ty::F32)?;
        self.scalar(&[d], &s, move |s| {
            let v = |x: u64| one(f64::from(f32::from_bits(x as u32)));
            // The first operand goes to the upper half.
            [if n == 2 { v(s[0]) << width | v(s[1]) } else { v(s[0]) }, 0]
        })?;
        Ok(true)
    }

    /// `cvt.pack`: two integers saturated and packed below the bits of a third.
    fn pack(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let to = m.any(&["u16", "s16", "u8", "s8", "u4", "s4", "u2", "s2"]);
        let (Some(to), true, true) = (to, m.take("sat"), m.take("s32")) else {
            return self.unknown("types");
        };
        let bits: u32 = to[1..].parse().unwrap_or(0);
        let below = m.take("b32");
        if below == (bits == 16) {
            return self.unknown("types");
        }
        let o = self.need(ops, if below { 4 } else { 3 })?;
        let (d, s) = (Reg::W(self.dw(&o[0])?), self.sources(&o[1..], Ty::B32)?);
        let (lo, hi) = if to.starts_with('s') {
            (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1)
        } else {
            (0, (1i64 << bits) - 1)
        };
        self.scalar(&[d], &s, move |s| {
            let one = |x: u64| (i64::from(x as i32).clamp(lo, hi) as u64) & ((1 << bits) - 1);
            let two = one(s[1]) | one(s[0]) << bits;
            [two | s.get(2).map_or(0, |c| c << (2 * bits)) & 0xffff_ffff, 0]
        })
    }

    /// Moves between bytes and the registers that hold several, of 128 bits, and of what is a number here and a register elsewhere.
    fn rare_mov(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<bool> {
        let Some(ty) = m.rest.first().copied().and_then(Ty::parse) else { return Ok(false) };
        let [to, from] = ops else { return Ok(false) };
        if ty == Ty::B128 {
            m.ty();
            let wide = |s: &mut Self, o: &Opd<'a>| -> R<[Reg; 2]> {
                match o {
                    Opd::List(v) if v.len() == 2 => Ok([s.src(&v[0], Ty::B64)?, s.src(&v[1], Ty::B64)?]),
                    o => match s.reg(o)? {
                        Reg::Q(q) => Ok([Reg::D(q), Reg::D(q + 1)]),
                        _ => s.unknown("a register of 128 bits expected"),
                    },
                }
            };
            let s = wide(self, from)?;
            let d = match to {
                Opd::List(v) if v.len() == 2 => [Reg::D(self.dd(&v[0])?), Reg::D(self.dd(&v[1])?)],
                o => wide(self, o)?,
            };
            self.scalar(&d, &s, |s| [s[0], s[1]])?;
            return Ok(true);
        }
        let bytes = ty.bytes() as usize;
        let list = |o: &Opd<'a>| matches!(o, Opd::List(v) if v.len() == bytes && bytes <= 4 && v.len() >= 2);
        if (list(to) && bytes == 2) || (list(to) && bytes == 4) {
            let Opd::List(v) = to else { return Ok(false) };
            m.ty();
            let s = self.src(from, ty)?;
            // The source may be one of the results, so it is taken apart at once where there are two, or from a copy.
            let copy = self.new_reg(Class::W);
            self.scalar(&[copy], &[s], |s| [s[0], 0])?;
            for (i, x) in v.iter().enumerate() {
                if Self::is_sink(x) {
                    continue;
                }
                let d = Reg::W(self.dw(x)?);
                self.scalar(&[d], &[copy], move |s| [s[0] >> (8 * i) & 0xff, 0])?;
            }
            return Ok(true);
        }
        if list(from) {
            let Opd::List(v) = from else { return Ok(false) };
            m.ty();
            let s = self.sources(v, Ty::B8)?;
            let d = Reg::W(self.dw(to)?);
            self.scalar(&[d], &s, |s| [s.iter().enumerate().fold(0, |r, (i, x)| r | (x & 0xff) << (8 * i)), 0])?;
            return Ok(true);
        }
        if let Opd::Word(w @ ("%gridid" | "%is_explicit_cluster"), 0) = from {
            m.ty();
            let (s, d) = if *w == "%gridid" {
                (Sreg::GridId, self.dst(to, ty)?)
            } else {
                (Sreg::ExplicitCluster, Reg::P(self.dp(to)?))
            };
            let s = Reg::W(self.sreg(s));
            self.scalar(&[d], &[s], |s| [s[0], 0])?;
            return Ok(true);
        }
        Ok(false)
    }
}

fn combine(v: bool, op: Option<BoolOp>, with: Option<&u64>) -> bool {
    let c = with.is_some_and(|c| *c != 0);
    match op {
        None => v,
        Some(BoolOp::And) => v && c,
        Some(BoolOp::Or) => v || c,
        Some(BoolOp::Xor) => v != c,
    }
}
