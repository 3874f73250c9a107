//! Matrix instructions of a warp and of a warpgroup.

use super::*;

impl<'a> Decoder<'_, 'a> {
    pub(super) fn wgmma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let what = m.any(&["fence", "commit_group", "wait_group", "mma_async"]);
        if !m.take("sync") | !m.take("aligned") {
            return self.unknown("modifiers");
        }
        match what {
            Some("fence") => return self.push(Op::WgmmaFence),
            Some("commit_group") => return self.push(Op::WgmmaCommit),
            Some("wait_group") => {
                let o = self.need(ops, 1)?;
                let Opd::Int(n) = o[0] else {
                    return self.unknown("a number of groups expected");
                };
                return self.push(Op::WgmmaWait { n: n.min(u64::from(u32::MAX)) as u32 });
            }
            Some(_) => {}
            None => return self.unknown("operation"),
        }
        let saturate = m.take("satfinite");
        let (n, k) = match m.rest.iter().position(|x| x.starts_with("m64n")).map(|i| m.rest.remove(i)) {
            Some(s) => match s[4..].split_once('k') {
                Some((n, k)) => (n.parse().unwrap_or(0u32), k.parse().unwrap_or(0usize)),
                None => (0, 0),
            },
            None => (0, 0),
        };
        let f = match *std::mem::take(&mut m.rest) {
            [d, a, b] => Self::form(d, a, b, d),
            _ => None,
        };
        let Some(f) = f.filter(|f| f.c == Acc::S32 || !saturate) else {
            return self.unknown("types");
        };
        if f.a.eight_bit_float() && f.c == Acc::F16 {
            return self.unknown("accumulator types");
        }
        let f = Form { saturate, ..f };
        let step = if f.a.int() && n > 32 { 16 } else { 8 };
        if n == 0 || n > 256 || !n.is_multiple_of(step) || k != f.k() {
            return self.unknown("shape");
        }
        let regs = matches!(ops.get(1), Some(Opd::List(_)));
        // Integers have no signs to change, and only 16-bit elements in shared memory can be transposed.
        let (signs, turns) = match f.a {
            El::S8 | El::U8 => (0, 0),
            El::F16 | El::Bf16 => (2, if regs { 1 } else { 2 }),
            _ => (2, 0),
        };
        let o = self.need(ops, 4 + signs + turns)?;
        let count = (if f.d == Acc::F16 { n / 4 } else { n / 2 }) as usize;
        let d = self.list::<128>(&o[0], count, Ty::B32, true)?[..count].to_vec();
        let a = if regs { Err(self.list::<4>(&o[1], 4, Ty::B32, false)?) } else { Ok(self.d(&o[1], Ty::B64)?) };
        let b = self.d(&o[2], Ty::B64)?;
        let scale_d = self.p(&o[3])?;
        let imm = |s: &Self, o: Option<&Opd<'a>>, of: [u64; 2]| match o {
            Some(Opd::Int(v)) if of.contains(v) => Ok(*v == of[1]),
            None => Ok(false),
            _ => s.unknown("an immediate"),
        };
        let sign = [1, u64::MAX];
        let (neg_a, neg_b) =
            if signs == 0 { (false, false) } else { (imm(self, o.get(4), sign)?, imm(self, o.get(5), sign)?) };
        let (trans_a, trans_b) = if regs {
            (false, imm(self, o.get(6), [0, 1])?)
        } else {
            (imm(self, o.get(6), [0, 1])?, imm(self, o.get(7), [0, 1])?)
        };
        self.push(Op::Wgmma(Box::new(Wgmma { n, d, a, b, scale_d, neg_a, neg_b, trans_a, trans_b, f })))
    }

    pub(super) fn ldmatrix(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if !m.take("sync") | !m.take("aligned") | !m.take("m8n8") {
            return self.unknown("modifiers");
        }
        let n = match m.any(&["x1", "x2", "x4"]) {
            Some("x1") => 1,
            Some("x2") => 2,
            Some(_) => 4,
            None => return self.unknown("number of matrices"),
        };
        let trans = m.take("trans");
        let _ = m.take("shared") || m.take("shared::cta");
        if !m.take("b16") {
            return self.unknown("only .b16");
        }
        let o = self.need(ops, 2)?;
        if base == "ldmatrix" {
            let d = self.list::<4>(&o[0], n, Ty::B32, true)?;
            let (a, _) = self.addr(&o[1], Space::Shared)?;
            self.push(Op::Ldmatrix { n: n as u8, trans, d, a })
        } else {
            let (a, _) = self.addr(&o[0], Space::Shared)?;
            let s = self.list::<4>(&o[1], n, Ty::B32, false)?;
            self.push(Op::Stmatrix { n: n as u8, trans, s, a })
        }
    }

    pub(super) fn mma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if !m.take("sync") | !m.take("aligned") {
            return self.unknown("modifiers");
        }
        let k = match m.any(&["m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"]) {
            Some(s) => s[6..].parse().unwrap_or(0usize),
            None => return self.unknown("shape"),
        };
        if !m.take("row") | !m.take("col") {
            return self.unknown("layout");
        }
        let saturate = m.take("satfinite");
        let f = match *std::mem::take(&mut m.rest) {
            [d, a, b, c] => Self::form(d, a, b, c),
            _ => None,
        };
        let Some(f) = f.filter(|f| f.c == f.d && (f.c == Acc::S32 || !saturate)) else {
            return self.unknown("types");
        };
        if f.a.eight_bit_float() {
            self.requires(89, false)?;
        }
        // Sixteen bytes along the depth take one register of B; that form of the eight-bit floats came later.
        let deep = match k * 4 / f.a.per() {
            16 if !f.a.eight_bit_float() => false,
            32 => true,
            _ => return self.unknown("shape"),
        };
        if f.a.eight_bit_float() && f.c == Acc::F16 {
            return self.unknown("accumulator types");
        }
        let f = Form { deep, saturate, ..f };
        let [na, nb, nc, nd] = f.regs();
        let o = self.need(ops, 4)?;
        let d = self.list::<4>(&o[0], nd, Ty::B32, true)?;
        let a = self.list::<4>(&o[1], na, Ty::B32, false)?;
        let b = self.list::<2>(&o[2], nb, Ty::B32, false)?;
        let c = self.list::<4>(&o[3], nc, if f.c == Acc::F32 { Ty::F32 } else { Ty::B32 }, false)?;
        self.push(Op::Mma { f, d, a, b, c })
    }

    /// The types of a matrix instruction, where they go together.
    pub(super) fn form(d: &str, a: &str, b: &str, c: &str) -> Option<Form> {
        let acc = |s: &str| match s {
            "f32" => Some(Acc::F32),
            "f16" => Some(Acc::F16),
            "s32" => Some(Acc::S32),
            _ => None,
        };
        let (a, b, c, d) = (El::parse(a)?, El::parse(b)?, acc(c)?, acc(d)?);
        let alike = a == b || (a.int() && b.int()) || (a.eight_bit_float() && b.eight_bit_float());
        let fits = |t: Acc| match t {
            Acc::F32 => !a.int(),
            Acc::F16 => a == El::F16 || a.eight_bit_float(),
            Acc::S32 => a.int(),
        };
        (alike && fits(c) && fits(d)).then_some(Form { a, b, deep: true, c, d, saturate: false })
    }

    pub(super) fn wmma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let what = m.any(&["load", "store", "mma"]);
        if !m.take("sync") | !m.take("aligned") | !m.take("m16n16k16") {
            return self.unknown("modifiers or shape");
        }
        if what == Some("mma") {
            let mut lay = Vec::new();
            m.rest.retain(|x| {
                let is = matches!(*x, "row" | "col");
                if is {
                    lay.push(*x == "row");
                }
                !is
            });
            if lay.len() != 2 {
                return self.unknown("layout");
            }
            let (Some(td), Some(tc)) = (m.ty(), m.ty()) else {
                return self.unknown("types");
            };
            let half = |t: Ty| match t {
                Ty::F16 => Some(true),
                Ty::F32 => Some(false),
                _ => None,
            };
            let (Some(d16), Some(c16)) = (half(td), half(tc)) else {
                return self.unknown("types");
            };
            let o = self.need(ops, 4)?;
            let d = self.list::<8>(&o[0], if d16 { 4 } else { 8 }, Ty::B32, true)?;
            let a = self.list::<8>(&o[1], 8, Ty::B32, false)?;
            let b = self.list::<8>(&o[2], 8, Ty::B32, false)?;
            let c = self.list::<8>(&o[3], if c16 { 4 } else { 8 }, Ty::F32, false)?;
            return self.push(Op::WmmaMma { c16, d16, d, a, b, c });
        }
        let part = m.any(&["a", "b", "c", "d"]);
        let row = match m.any(&["row", "col"]) {
            Some("row") => true,
            Some(_) => false,
            None => return self.unknown("layout"),
        };
        let space = Self::space(m);
        let (Some(part), Some(ty)) = (part, m.ty()) else {
            return self.unknown("operand");
        };
        let part = match (part, ty) {
            ("a", Ty::F16) => WmmaPart::A,
            ("b", Ty::F16) => WmmaPart::B,
            ("c" | "d", Ty::F16) => WmmaPart::CF16,
            ("c" | "d", Ty::F32) => WmmaPart::CF32,
            _ => return self.unknown("type"),
        };
        let n = if part == WmmaPart::CF16 { 4 } else { 8 };
        let load = what == Some("load");
        if ops.len() < 2 || ops.len() > 3 {
            return self.unknown("number of operands");
        }
        let (r, ao) = if load { (&ops[0], &ops[1]) } else { (&ops[1], &ops[0]) };
        let ld = if ops.len() == 3 { self.w(&ops[2], Ty::U32)? } else { self.const_w(Const::Val(16)) };
        let regs = self.list::<8>(r, n, Ty::B32, load)?;
        let (a, space) = self.addr(ao, space)?;
        self.push(if load {
            Op::WmmaLoad { part, row, space, d: regs, a, ld }
        } else {
            Op::WmmaStore { part, row, space, s: regs, a, ld }
        })
    }
}
