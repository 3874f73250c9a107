//! `printf` and assertions of the device.

use super::*;

/// Bytes of a string at most, for memory that holds no zero.
const LONGEST: usize = 4096;

impl Warp {
    fn local_word(&self, lane: usize, at: u64) -> u64 {
        let first = lane * self.local_bytes as usize + at as usize;
        self.local.get(first..first + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
    }

    /// A byte at a generic address.
    fn byte(&self, env: &Env<'_, '_>, lane: usize, addr: u64) -> Option<u8> {
        if (LOCAL_WINDOW..LOCAL_WINDOW + WINDOW_SIZE).contains(&addr) {
            let o = (addr - LOCAL_WINDOW) as usize;
            let inside = o < self.local_bytes as usize;
            return if inside { self.local.get(lane * self.local_bytes as usize + o).copied() } else { None };
        }
        let mut b = [0];
        env.l.mem.read(addr, &mut b).ok()?;
        Some(b[0])
    }
    fn string(&self, env: &Env<'_, '_>, lane: usize, addr: u64) -> String {
        let bytes: Vec<u8> =
            (0..LONGEST as u64).map_while(|i| self.byte(env, lane, addr + i).filter(|b| *b != 0)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn assertion<T>(&self, env: &Env<'_, '_>, at: &[u64; 4], m: u32) -> Run<T> {
        let lane = m.trailing_zeros() as usize;
        let text = |i: usize| self.string(env, lane, self.local_word(lane, at[i]));
        let text = format!(
            "device assertion \"{}\" failed in {} ({}:{})",
            text(0),
            text(3),
            text(1),
            self.local_word(lane, at[2]) as u32
        );
        env.stop(Kind::Trap, self, Some(lane as u32), None, text)
    }

    pub(super) fn print(&mut self, env: &Env<'_, '_>, args: [u64; 2], d: Option<u64>, m: u32) {
        for lane in lanes(m) {
            let format = self.string(env, lane, self.local_word(lane, args[0]));
            let mut at = self.local_word(lane, args[1]);
            let mut n = 0;
            let mut next = |bytes: u64| {
                at = at.next_multiple_of(bytes);
                let v = (0..bytes).fold(0, |v, i| v | u64::from(self.byte(env, lane, at + i).unwrap_or(0)) << (8 * i));
                at += bytes;
                n += 1;
                v
            };
            let text = format_c(&format, &mut next, &|a| self.string(env, lane, a));
            if let Ok(mut out) = env.l.printed.lock() {
                out.push_str(&text);
            }
            if let Some(d) = d {
                let first = lane * self.local_bytes as usize + d as usize;
                if let Some(b) = self.local.get_mut(first..first + 4) {
                    b.copy_from_slice(&u32::to_le_bytes(n));
                }
            }
        }
    }
}

/// What C's `printf` makes of a format; `next` takes the next argument of that many bytes, `string` reads one at an address.
fn format_c(format: &str, next: &mut dyn FnMut(u64) -> u64, string: &dyn Fn(u64) -> String) -> String {
    let mut out = String::new();
    let mut c = format.chars().peekable();
    while let Some(x) = c.next() {
        if x != '%' {
            out.push(x);
            continue;
        }
        let (mut left, mut zero, mut plus, mut space, mut alt) = (false, false, false, false, false);
        while let Some(f) = c.next_if(|f| "-0+ #".contains(*f)) {
            match f {
                '-' => left = true,
                '0' => zero = true,
                '+' => plus = true,
                ' ' => space = true,
                _ => alt = true,
            }
        }
        let number = |c: &mut std::iter::Peekable<std::str::Chars<'_>>, next: &mut dyn FnMut(u64) -> u64| {
            if c.next_if_eq(&'*').is_some() {
                return next(4) as i32 as i64;
            }
            let mut n = 0i64;
            while let Some(d) = c.next_if(char::is_ascii_digit) {
                n = (n * 10 + i64::from(d as u8 - b'0')).min(4096);
            }
            n
        };
        let mut width = number(&mut c, next).clamp(-4096, 4096);
        if width < 0 {
            (left, width) = (true, -width);
        }
        let precision = c.next_if_eq(&'.').map(|_| number(&mut c, next).clamp(0, 4096) as usize);
        let mut size = String::new();
        while let Some(l) = c.next_if(|l| "hlLqjzt".contains(*l)) {
            size.push(l);
        }
        let bytes = if size.starts_with(['l', 'q', 'j', 'z', 't']) { 8 } else { 4 };
        let narrow = |v: u64| match size.as_str() {
            "hh" => v & 0xff,
            "h" => v & 0xffff,
            _ => v,
        };
        let Some(kind) = c.next() else { break };
        let least = precision.unwrap_or(1);
        let digits = |s: String| if s.len() < least { format!("{s:0>least$}") } else { s };
        let (sign, body) = match kind {
            '%' => {
                out.push('%');
                continue;
            }
            'd' | 'i' => {
                let v = next(bytes);
                let v = match size.as_str() {
                    "hh" => i64::from(v as i8),
                    "h" => i64::from(v as i16),
                    _ if bytes == 8 => v as i64,
                    _ => i64::from(v as i32),
                };
                let sign = if v < 0 {
                    "-"
                } else if plus {
                    "+"
                } else if space {
                    " "
                } else {
                    ""
                };
                (sign, digits(v.unsigned_abs().to_string()))
            }
            'u' => ("", digits(narrow(next(bytes)).to_string())),
            'o' => ("", digits(format!("{:o}", narrow(next(bytes))))),
            'x' => (if alt { "0x" } else { "" }, digits(format!("{:x}", narrow(next(bytes))))),
            'X' => (if alt { "0X" } else { "" }, digits(format!("{:X}", narrow(next(bytes))))),
            'p' => ("0x", format!("{:x}", next(8))),
            'c' => ("", char::from(next(4) as u8).to_string()),
            's' => {
                let s = string(next(8));
                ("", precision.map_or(s.clone(), |p| s.chars().take(p).collect()))
            }
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' | 'a' | 'A' => {
                let v = f64::from_bits(next(8));
                let sign = if v.is_sign_negative() {
                    "-"
                } else if plus {
                    "+"
                } else if space {
                    " "
                } else {
                    ""
                };
                let v = v.abs();
                zero &= v.is_finite();
                let s = float_c(kind, v, precision);
                (sign, if kind.is_ascii_uppercase() { s.to_uppercase() } else { s })
            }
            other => {
                out.push('%');
                out.push(other);
                continue;
            }
        };
        let pad = (width as usize).saturating_sub(sign.len() + body.chars().count());
        let integer = "diuoxX".contains(kind);
        if left {
            out.push_str(sign);
            out.push_str(&body);
            out.extend(std::iter::repeat_n(' ', pad));
        } else if zero && !"csp".contains(kind) && !(integer && precision.is_some()) {
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', pad));
            out.push_str(&body);
        } else {
            out.extend(std::iter::repeat_n(' ', pad));
            out.push_str(sign);
            out.push_str(&body);
        }
    }
    out
}

/// A number that is not negative as C writes it.
fn float_c(kind: char, v: f64, precision: Option<usize>) -> String {
    if v.is_nan() {
        return "nan".into();
    }
    if v.is_infinite() {
        return "inf".into();
    }
    let p = precision.unwrap_or(6);
    let scientific = |v: f64, p: usize| {
        let s = format!("{v:.p$e}");
        let (m, e) = s.split_once('e').unwrap_or((&s, "0"));
        let e: i32 = e.parse().unwrap_or(0);
        (m.to_owned(), e)
    };
    match kind.to_ascii_lowercase() {
        'f' => format!("{v:.p$}"),
        'e' => {
            let (m, e) = scientific(v, p);
            format!("{m}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs())
        }
        'a' => {
            let b = v.to_bits();
            let (e, m) = (b >> 52, b & ((1 << 52) - 1));
            if v == 0.0 {
                return "0x0p+0".into();
            }
            let digits = format!("{m:013x}");
            let digits = digits.trim_end_matches('0');
            let dot = if digits.is_empty() { "" } else { "." };
            let (lead, e) = if e == 0 { (0, -1022) } else { (1, e as i64 - 1023) };
            format!("0x{lead}{dot}{digits}p{e:+}")
        }
        _ => {
            let p = p.max(1);
            let (m, e) = scientific(v, p - 1);
            let trim = |s: String| {
                if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_owned() } else { s }
            };
            if e < -4 || e >= p as i32 {
                format!("{}e{}{:02}", trim(m), if e < 0 { '-' } else { '+' }, e.abs())
            } else {
                trim(format!("{v:.*}", (p as i32 - 1 - e).max(0) as usize))
            }
        }
    }
}
