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
