//! Number formats: half precision, bfloat16 and directed rounding, in plain integer code.

use crate::alu::Rnd;

/// Widens a half; exact.
#[inline(always)]
pub(crate) fn half_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let mag = u32::from(h & 0x7fff);
    // Shifting the fields into place leaves the exponent 112 too low; a multiplication repairs it, subnormals included.
    let x = f32::from_bits(mag << 13) * f32::from_bits(0x7780_0000);
    let bits = if mag >= 0x7c00 { (mag << 13) | 0x7f80_0000 } else { x.to_bits() };
    f32::from_bits(bits | sign)
}

/// Widens an eight-bit float of four exponent and three fraction bits; it has no infinity.
#[inline(always)]
pub(crate) fn e4m3_to_f32(x: u8) -> f32 {
    let (e, m) = (i32::from(x >> 3 & 15), f32::from(x & 7));
    let v = match (e, x & 7) {
        (15, 7) => f32::NAN,
        (0, _) => m / 512.0,
        _ => (1.0 + m / 8.0) * f32::from_bits(((e + 120) as u32) << 23),
    };
    if x & 0x80 != 0 { -v } else { v }
}

/// Narrows to half, to nearest with ties to even.
#[inline(always)]
pub(crate) fn f32_to_half(x: f32) -> u16 {
    let b = x.to_bits();
    let sign = (b >> 16) as u16 & 0x8000;
    let a = b & 0x7fff_ffff;
    let m = if a > 0x7f80_0000 {
        0x7fff
    } else if a >= 0x4780_0000 {
        0x7c00
    } else if a >= 0x3880_0000 {
        // Normal: rebias, then round on the 13 bits that go.
        let r = a - 0x3800_0000;
        ((r + 0xfff + ((r >> 13) & 1)) >> 13) as u16
    } else {
        // Subnormal or zero: adding 0.5 puts the half's last place at the float's last place.
        (f32::from_bits(a) + 0.5).to_bits() as u16
    };
    m | sign
}

/// Narrows to half with one rounding.
pub(crate) fn f64_to_half(x: f64) -> u16 {
    f32_to_half(f64_to_f32_odd(x))
}

/// Narrows with rounding to odd: a second rounding to fewer bits then gives what one rounding would.
pub(crate) fn f64_to_f32_odd(x: f64) -> f32 {
    let t = f64_to_f32_rnd(x, Rnd::Zero);
    if x.is_finite() && t.is_finite() && f64::from(t) != x { f32::from_bits(t.to_bits() | 1) } else { t }
}

/// Narrows to bfloat16, to nearest with ties to even.
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    let b = x.to_bits();
    if x.is_nan() {
        return 0x7fff;
    }
    ((b + 0x7fff + ((b >> 16) & 1)) >> 16) as u16
}

fn next_up(x: f32) -> f32 {
    x.next_up()
}
fn next_down(x: f32) -> f32 {
    x.next_down()
}

/// Given the nearest single to an exact value and on which side of it the value lies, the value rounded as asked.
fn steer(near: f32, exact_above: bool, exact_below: bool, r: Rnd) -> f32 {
    match r {
        Rnd::Near | Rnd::Away => near,
        Rnd::Up => {
            if exact_above {
                next_up(near)
            } else {
                near
            }
        }
        Rnd::Down => {
            if exact_below {
                next_down(near)
            } else {
                near
            }
        }
        Rnd::Zero => {
            if near > 0.0 && exact_below {
                next_down(near)
            } else if near < 0.0 && exact_above {
                next_up(near)
            } else {
                near
            }
        }
    }
}

/// Narrows a double to a single.
pub(crate) fn f64_to_f32_rnd(x: f64, r: Rnd) -> f32 {
    let n = x as f32;
    if x.is_nan() || x.is_infinite() {
        return n;
    }
    if n.is_infinite() {
        let max = if n > 0.0 { f32::MAX } else { f32::MIN };
        return match r {
            Rnd::Near | Rnd::Away => n,
            Rnd::Zero => max,
            Rnd::Up => {
                if n > 0.0 {
                    n
                } else {
                    max
                }
            }
            Rnd::Down => {
                if n < 0.0 {
                    n
                } else {
                    max
                }
            }
        };
    }
    steer(n, x > f64::from(n), x < f64::from(n), r)
}

/// Narrows a double to a half.
pub(crate) fn f64_to_half_rnd(x: f64, r: Rnd) -> u16 {
    let n = f64_to_half(x);
    if matches!(r, Rnd::Near | Rnd::Away) || x.is_nan() || x.is_infinite() {
        return n;
    }
    let v = f64::from(half_to_f32(n));
    let toward_zero = |h: u16| h - 1;
    let away = |h: u16| h + 1;
    let neg = x.is_sign_negative();
    let too_big = v.abs() > x.abs();
    let too_small = v.abs() < x.abs();
    match r {
        Rnd::Zero => {
            if too_big {
                toward_zero(n)
            } else {
                n
            }
        }
        Rnd::Up | Rnd::Down => {
            if neg == (r == Rnd::Down) {
                if too_small { away(n) } else { n }
            } else if too_big {
                toward_zero(n)
            } else {
                n
            }
        }
        _ => n,
    }
}

/// `a * b + c` rounded once, in a given direction.
pub(crate) fn fma_dir(a: f32, b: f32, c: f32, r: Rnd) -> f32 {
    let p = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    let s = p + c;
    if !s.is_finite() {
        return s as f32;
    }
    // The part of the sum that the double could not hold.
    let bb = s - p;
    let e = (p - (s - bb)) + (c - bb);
    if s == 0.0 && e == 0.0 {
        if r == Rnd::Down && (p.is_sign_negative() != c.is_sign_negative()) {
            return -0.0;
        }
        return s as f32;
    }
    let n = s as f32;
    if n.is_infinite() {
        return f64_to_f32_rnd(s, r);
    }
    let d = s - f64::from(n);
    steer(n, d > 0.0 || (d == 0.0 && e > 0.0), d < 0.0 || (d == 0.0 && e < 0.0), r)
}

/// Rounds to an integral value.
pub(crate) fn round_int(x: f64, r: Rnd) -> f64 {
    match r {
        Rnd::Near => x.round_ties_even(),
        Rnd::Zero => x.trunc(),
        Rnd::Down => x.floor(),
        Rnd::Up => x.ceil(),
        Rnd::Away => x.round(),
    }
}

/// An integer as a single.
pub(crate) fn int_to_f32(v: i128, r: Rnd) -> f32 {
    let n = v as f32;
    let back = n as i128;
    steer(n, v > back, v < back, r)
}

/// An integer as a double; directed rounding steps by one unit in the last place.
pub(crate) fn int_to_f64(v: i128, r: Rnd) -> f64 {
    let n = v as f64;
    let back = n as i128;
    match r {
        Rnd::Up if v > back => n.next_up(),
        Rnd::Down if v < back => n.next_down(),
        Rnd::Zero if n > 0.0 && v < back => n.next_down(),
        Rnd::Zero if n < 0.0 && v > back => n.next_up(),
        _ => n,
    }
}

/// A binary float: exponent and fraction bits, the largest finite number's code and infinity's, where it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub e: u32,
    pub m: u32,
    pub top: u32,
    pub infinity: Option<u32>,
    pub nan: u32,
}
pub(crate) const F16: Format = Format { e: 5, m: 10, top: 0x7bff, infinity: Some(0x7c00), nan: 0x7fff };
pub(crate) const BF16: Format = Format { e: 8, m: 7, top: 0x7f7f, infinity: Some(0x7f80), nan: 0x7fff };
pub(crate) const TF32: Format = Format { e: 8, m: 10, top: 0x3fbff, infinity: Some(0x3fc00), nan: 0x3ffff };
pub(crate) const E4M3: Format = Format { e: 4, m: 3, top: 0x7e, infinity: None, nan: 0x7f };
pub(crate) const E5M2: Format = Format { e: 5, m: 2, top: 0x7b, infinity: Some(0x7c), nan: 0x7f };

impl Format {
    pub fn bits(&self) -> u32 {
        1 + self.e + self.m
    }
    /// The number of a code; exact.
    pub fn value(&self, code: u32) -> f64 {
        let negative = code >> (self.e + self.m) & 1 != 0;
        let magnitude = code & ((1 << (self.e + self.m)) - 1);
        let (exponent, fraction) = (magnitude >> self.m, magnitude & ((1 << self.m) - 1));
        let bias = (1 << (self.e - 1)) - 1;
        let power = |n: i32| f64::from_bits(((1023 + n) as u64) << 52);
        let v = if Some(magnitude) == self.infinity {
            f64::INFINITY
        } else if magnitude > self.top {
            f64::NAN
        } else if exponent == 0 {
            f64::from(fraction) * power(1 - bias - self.m as i32)
        } else {
            f64::from(fraction | 1 << self.m) * power(exponent as i32 - bias - self.m as i32)
        };
        if negative { -v } else { v }
    }
    /// The code of a number, rounded once. With `finite`, what is too large becomes the largest finite number.
    pub fn encode(&self, x: f64, r: Rnd, finite: bool) -> u32 {
        if x.is_nan() {
            return self.nan;
        }
        let sign = u32::from(x.is_sign_negative()) << (self.e + self.m);
        let b = x.to_bits() & (u64::MAX >> 1);
        let bias = (1 << (self.e - 1)) - 1;
        let over = |max: bool| {
            let large = if max || finite { self.top } else { self.infinity.unwrap_or(self.nan) };
            sign | large
        };
        if x.is_infinite() {
            return over(false);
        }
        // The number is `whole` times two to the power of `at`.
        let (whole, at) =
            if b >> 52 == 0 { (b, -1074) } else { (b & ((1 << 52) - 1) | 1 << 52, (b >> 52) as i32 - 1075) };
        if whole == 0 {
            return sign;
        }
        let log = at + 63 - whole.leading_zeros() as i32;
        let least = 1 - bias;
        let drop = log.max(least) - self.m as i32 - at;
        let (kept, rest, half) = match drop {
            d if d <= 0 => (whole << -d, 0, 1),
            d if d > 63 => (0, 1, 2),
            d => (whole >> d, whole & ((1 << d) - 1), 1u64 << (d - 1)),
        };
        let negative = sign != 0;
        let up = match r {
            Rnd::Near => rest > half || (rest == half && kept & 1 != 0),
            Rnd::Away => rest >= half && rest != 0,
            Rnd::Zero => false,
            Rnd::Up => rest != 0 && !negative,
            Rnd::Down => rest != 0 && negative,
        };
        let kept = kept + u64::from(up);
        // A carry out of the fraction goes into the exponent by itself.
        let code = if log < least { kept } else { (((log + bias) as u64) << self.m) + kept - (1 << self.m) };
        let toward_zero = match r {
            Rnd::Zero => true,
            Rnd::Up => negative,
            Rnd::Down => !negative,
            _ => false,
        };
        if code > u64::from(self.top) { over(toward_zero) } else { sign | code as u32 }
    }
}

/// A sum rounded to odd, so that rounding it once more to far fewer bits is as good as one rounding.
pub(crate) fn sum_odd(a: f64, b: f64) -> f64 {
    let s = a + b;
    let t = s - a;
    let e = (a - (s - t)) + (b - t);
    if e == 0.0 || !e.is_finite() || !s.is_finite() || s.to_bits() & 1 != 0 {
        return s;
    }
    if e > 0.0 { s.next_up() } else { s.next_down() }
}

/// Given the nearest double and the sign of what is missing, the value rounded in a direction.
fn steer64(near: f64, missing: f64, r: Rnd) -> f64 {
    if near.is_nan() {
        return near;
    }
    match r {
        Rnd::Up if missing > 0.0 => near.next_up(),
        Rnd::Down if missing < 0.0 => near.next_down(),
        Rnd::Zero if near > 0.0 && missing < 0.0 => near.next_down(),
        Rnd::Zero if near < 0.0 && missing > 0.0 => near.next_up(),
        _ => near,
    }
}

/// What an operation on finite numbers gives where the nearest result is infinite.
fn overflow64(near: f64, r: Rnd) -> f64 {
    let keep = match r {
        Rnd::Up => near > 0.0,
        Rnd::Down => near < 0.0,
        Rnd::Zero => false,
        _ => true,
    };
    if keep { near } else { f64::MAX.copysign(near) }
}

pub(crate) fn add_dir(a: f64, b: f64, r: Rnd) -> f64 {
    let s = a + b;
    if !a.is_finite() || !b.is_finite() {
        return s;
    }
    if s.is_infinite() {
        return overflow64(s, r);
    }
    if s == 0.0 && r == Rnd::Down && a.is_sign_negative() != b.is_sign_negative() {
        return -0.0;
    }
    let t = s - a;
    steer64(s, (a - (s - t)) + (b - t), r)
}

pub(crate) fn mul_dir(a: f64, b: f64, r: Rnd) -> f64 {
    let p = a * b;
    if !a.is_finite() || !b.is_finite() {
        return p;
    }
    if p.is_infinite() {
        return overflow64(p, r);
    }
    steer64(p, product_error(a, b, p), r)
}

/// The sign, as a number, of `a * b - p`, also where the difference is below the smallest double.
fn product_error(a: f64, b: f64, p: f64) -> f64 {
    let e = a.mul_add(b, -p);
    if e != 0.0 || a == 0.0 || b == 0.0 {
        return e;
    }
    // Scaled up, what was too small to see can be seen.
    let up = f64::from_bits((1023 + 300) << 52);
    if p.abs() < f64::MIN_POSITIVE * up { (a * up).mul_add(b * up, -(p * up * up)) } else { e }
}

pub(crate) fn fma_dir64(a: f64, b: f64, c: f64, r: Rnd) -> f64 {
    let s = a.mul_add(b, c);
    if !a.is_finite() || !b.is_finite() || !c.is_finite() {
        return s;
    }
    if s.is_infinite() {
        return overflow64(s, r);
    }
    let two_sum = |a: f64, b: f64| {
        let s = a + b;
        let t = s - a;
        (s, (a - (s - t)) + (b - t))
    };
    let p = a * b;
    let low = a.mul_add(b, -p);
    if s == 0.0 && p + c == 0.0 && low == 0.0 {
        return if r == Rnd::Down && p.is_sign_negative() != c.is_sign_negative() { -0.0 } else { s };
    }
    let (x, y) = two_sum(c, low);
    let (u, v) = two_sum(p, x);
    let missing = ((u - s) + v) + y;
    steer64(s, missing, r)
}

/// A quotient of doubles, or of singles that are given as doubles, as a number of their kind.
pub(crate) fn div_dir(a: f64, b: f64, r: Rnd, single: bool) -> f64 {
    let q = a / b;
    if !a.is_finite() || !b.is_finite() || b == 0.0 || a == 0.0 {
        return q;
    }
    if single {
        // The double's error cannot be seen in the single unless it lies on a boundary, and then its sign is known.
        let rest = (-q).mul_add(b, a) * b.signum();
        return f64::from(narrow_dir(q, rest, r));
    }
    if q.is_infinite() {
        return overflow64(q, r);
    }
    steer64(q, (-q).mul_add(b, a) * b.signum(), r)
}

pub(crate) fn sqrt_dir(a: f64, r: Rnd, single: bool) -> f64 {
    let q = a.sqrt();
    if !q.is_finite() || q == 0.0 {
        return q;
    }
    let rest = (-q).mul_add(q, a);
    if single { f64::from(narrow_dir(q, rest, r)) } else { steer64(q, rest, r) }
}

/// The single next to a double that lies `missing` beside the exact value, in a direction.
fn narrow_dir(q: f64, missing: f64, r: Rnd) -> f32 {
    let n = f64_to_f32_rnd(q, Rnd::Near);
    if n.is_infinite() || f64::from(n) != q {
        return f64_to_f32_rnd(q, r);
    }
    steer(n, missing > 0.0, missing < 0.0, r)
}
