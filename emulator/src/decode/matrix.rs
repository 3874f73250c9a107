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
        if let Some(how) = m.any(&["sp", "sp::ordered_metadata"]) {
            return self.sparse_mma(m, ops, how != "sp");
        }
        if !m.take("sync") | !m.take("aligned") {
            return self.unknown("modifiers");
        }
        let types: Vec<&str> = m.rest.iter().copied().filter(|x| matches!(*x, "f64" | "s4" | "u4" | "b1")).collect();
        let small = m.rest.contains(&"m8n8k16");
        if !types.is_empty() || small {
            return self.plain_mma(m, ops);
        }
        let (k, f) = self.shape_and_types(m, &["m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"])?;
        if f.a.eight_bit_float() {
            self.requires(89, false)?;
        }
        // Sixteen bytes along the depth take one register of B; that form of the eight-bit floats came later.
        let deep = match k * 4 / f.a.per() {
            16 => false,
            32 => true,
            _ => return self.unknown("shape"),
        };
        let f = Form { deep, ..f };
        let [na, nb, nc, nd] = f.regs();
        let o = self.need(ops, 4)?;
        let d = self.list::<4>(&o[0], nd, Ty::B32, true)?;
        let a = self.list::<4>(&o[1], na, Ty::B32, false)?;
        let b = self.list::<2>(&o[2], nb, Ty::B32, false)?;
        let c = self.list::<4>(&o[3], nc, if f.c == Acc::F32 { Ty::F32 } else { Ty::B32 }, false)?;
        self.push(Op::Mma { f, d, a, b, c })
    }

    /// The depth of a product that is one of these shapes, and its types; A lies by rows and B by columns.
    fn shape_and_types(&self, m: &mut Mods<'a>, shapes: &[&'static str]) -> R<(usize, Form)> {
        let Some(shape) = m.any(shapes) else { return self.unknown("shape") };
        if !m.take("row") | !m.take("col") {
            return self.unknown("layout");
        }
        let saturate = m.take("satfinite");
        let form = match *std::mem::take(&mut m.rest) {
            [d, a, b, c] => Self::form(d, a, b, c),
            _ => None,
        };
        match form.filter(|f| f.c == f.d && (f.c == Acc::S32 || !saturate)) {
            Some(form) => Ok((shape[6..].parse().unwrap_or(0), Form { saturate, ..form })),
            None => self.unknown("types"),
        }
    }

    /// `mma.sp`, of which the depth in the shape counts the elements that are left out too.
    fn sparse_mma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>], ordered: bool) -> R<()> {
        if !m.take("sync") | !m.take("aligned") {
            return self.unknown("modifiers");
        }
        // Of four bits, pairs of elements stand as single ones of eight bits do: half the depth, and bytes that are pairs.
        let nibbles = m.rest.iter().filter(|x| matches!(**x, "s4" | "u4")).count();
        if nibbles != 0 {
            for x in &mut m.rest {
                *x = match *x {
                    "m16n8k64" => "m16n8k32",
                    "m16n8k128" => "m16n8k64",
                    "s4" => "s8",
                    "u4" => "u8",
                    "s32" | "row" | "col" | "satfinite" => *x,
                    _ => return self.unknown("shape or types"),
                };
            }
        }
        if nibbles == 1 {
            return self.unknown("types");
        }
        let nibbles = nibbles != 0;
        let (k, f) = self.shape_and_types(m, &["m16n8k8", "m16n8k16", "m16n8k32", "m16n8k64"])?;
        // Floats of eight bits have the deep form only, with sums in single precision.
        if f.a.eight_bit_float() {
            self.requires(89, false)?;
            if f.c != Acc::F32 || k != 64 {
                return self.unknown("shape or types");
            }
        }
        let deep = match k * 4 / f.a.per() {
            32 => false,
            64 => true,
            _ => return self.unknown("shape"),
        };
        let f = Form { deep, ..f };
        let [na, nb, nc, nd] = f.regs();
        let o = self.need(ops, 6)?;
        // The threads of four that have the places: all of them, a pair, or one.
        let most = match (f.a.per() == 4, deep) {
            (true, true) => 0,
            (true, false) | (false, true) => 1,
            (false, false) => 3,
        };
        let selector = match o[5] {
            Opd::Int(s) if s <= most => s as u32,
            _ => return self.unknown("sparsity selector"),
        };
        let d = self.list::<4>(&o[0], nd, Ty::B32, true)?;
        let a = self.list::<4>(&o[1], na, Ty::B32, false)?;
        let b = self.list::<4>(&o[2], 2 * nb, Ty::B32, false)?;
        let c = self.list::<4>(&o[3], nc, if f.c == Acc::F32 { Ty::F32 } else { Ty::B32 }, false)?;
        let places = self.w(&o[4], Ty::B32)?;
        self.push(Op::SparseMma(Box::new(SparseMma { f, nibbles, d, a, b, c, places, selector, ordered })))
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

    /// Products of doubles, of integers of eight bits and an 8x8 result, and of integers of four bits and of one.
    fn plain_mma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let shape =
            m.rest.iter().position(|x| x.starts_with("m8n8k") || x.starts_with("m16n8k")).map(|i| m.rest.remove(i));
        let Some((rows, k)) = shape.and_then(|s| {
            let (mn, k) = s.split_once('k')?;
            Some((if mn == "m8n8" { 8 } else { 16 }, k.parse::<u32>().ok()?))
        }) else {
            return self.unknown("shape");
        };
        if !m.take("row") | !m.take("col") {
            return self.unknown("layout");
        }
        let saturate = m.take("satfinite");
        m.take("rn");
        let logic = m.any(&["xor", "and"]);
        let popc = m.take("popc");
        let types = std::mem::take(&mut m.rest);
        let o = self.need(ops, 4)?;
        if types[..] == ["f64"; 4] {
            let (na, nb, nc) = match (rows, k) {
                (8, 4) => (1, 1, 2),
                (16, 4) => (2, 1, 4),
                (16, 8) => (4, 2, 4),
                (16, 16) => (8, 4, 4),
                _ => return self.unknown("shape"),
            };
            if saturate || logic.is_some() || popc {
                return self.unknown("modifiers");
            }
            if rows == 16 {
                self.requires(90, false)?;
            }
            let doubles = |s: &mut Self, o: &Opd<'a>, n: usize, dest: bool| -> R<Vec<u32>> {
                match o {
                    Opd::List(v) if v.len() == n => {
                        v.iter().map(|x| if dest { s.dd(x) } else { s.d(x, Ty::F64) }).collect()
                    }
                    _ => s.unknown("vector length"),
                }
            };
            let (d, a) = (doubles(self, &o[0], nc, true)?, doubles(self, &o[1], na, false)?);
            let (b, c) = (doubles(self, &o[2], nb, false)?, doubles(self, &o[3], nc, false)?);
            return self.push(Op::PlainMma(Box::new(PlainMma { kind: PlainKind::F64, rows, d, a, b, c })));
        }
        let [d, a, b, c] = types[..] else {
            return self.unknown("types");
        };
        let bits: u32 = match (a, b) {
            ("b1", "b1") => 1,
            ("s4" | "u4", "s4" | "u4") => 4,
            ("s8" | "u8", "s8" | "u8") => 8,
            _ => return self.unknown("types"),
        };
        let words = match (rows, k * bits) {
            (8, 128) => [1, 1, 2],
            (16, 128) => [2, 1, 4],
            (16, 256) => [4, 2, 4],
            _ => return self.unknown("shape"),
        };
        if d != "s32" || c != "s32" || (bits == 1) != (logic.is_some() && popc) || (bits == 1 && saturate) {
            return self.unknown("types or modifiers");
        }
        let list = |s: &mut Self, o: &Opd<'a>, n: usize, dest: bool| -> R<Vec<u32>> {
            Ok(s.list::<4>(o, n, Ty::B32, dest)?[..n].to_vec())
        };
        let (dr, ar) = (list(self, &o[0], words[2], true)?, list(self, &o[1], words[0], false)?);
        let (br, cr) = (list(self, &o[2], words[1], false)?, list(self, &o[3], words[2], false)?);
        let kind = PlainKind::Int {
            bits,
            signed: [a.starts_with('s'), b.starts_with('s')],
            xor: logic == Some("xor"),
            saturate,
        };
        self.push(Op::PlainMma(Box::new(PlainMma { kind, rows, d: dr, a: ar, b: br, c: cr })))
    }

    pub(super) fn wmma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let what = m.any(&["load", "store", "mma"]);
        if !m.take("sync") | !m.take("aligned") {
            return self.unknown("modifiers");
        }
        let shapes = ["m16n16k16", "m8n32k16", "m32n8k16", "m16n16k8", "m8n8k4"];
        let shape = match m.any(&shapes) {
            Some("m16n16k16") => [16, 16, 16],
            Some("m8n32k16") => [8, 32, 16],
            Some("m32n8k16") => [32, 8, 16],
            Some("m16n16k8") => [16, 16, 8],
            Some("m8n8k4") => [8, 8, 4],
            _ => return self.unknown("shape"),
        };
        if what == Some("mma") {
            return self.wmma_product(m, ops, shape);
        }
        let part = m.any(&["a", "b", "c", "d"]);
        let row = match m.any(&["row", "col"]) {
            Some("row") => true,
            Some(_) => false,
            None => return self.unknown("layout"),
        };
        let space = Self::space(m);
        let types = ["f16", "bf16", "tf32", "f32", "f64", "s8", "u8", "s32"];
        let (Some(part), Some(el)) = (part, m.any(&types).and_then(WmmaEl::parse)) else {
            return self.unknown("operand");
        };
        let f = match part {
            "a" => Fragment { rows: shape[0], cols: shape[2], el, part: WmmaPart::A },
            "b" => Fragment { rows: shape[2], cols: shape[1], el, part: WmmaPart::B },
            _ => Fragment { rows: shape[0], cols: shape[1], el, part: WmmaPart::C },
        };
        let load = what == Some("load");
        if !f.exists(shape) || (part == "c") != (load && f.part == WmmaPart::C) || (!load && part != "d") {
            return self.unknown("type");
        }
        if ops.len() < 2 || ops.len() > 3 {
            return self.unknown("number of operands");
        }
        let (r, ao) = if load { (&ops[0], &ops[1]) } else { (&ops[1], &ops[0]) };
        let packed = if row { f.cols } else { f.rows };
        let ld = if ops.len() == 3 { self.w(&ops[2], Ty::U32)? } else { self.const_w(Const::Val(u64::from(packed))) };
        let regs = self.fragment(r, &f, load)?;
        let (a, space) = self.addr(ao, space)?;
        self.push(Op::WmmaMove(Box::new(WmmaMove { f, load, row, space, regs, a, ld })))
    }

    fn fragment(&mut self, o: &Opd<'a>, f: &Fragment, dest: bool) -> R<Vec<u32>> {
        let n = f.regs();
        let Opd::List(v) = o else {
            return self.unknown("a vector expected");
        };
        if v.len() != n {
            return self.unknown("vector length");
        }
        v.iter()
            .map(|x| match (f.el == WmmaEl::F64, dest) {
                (true, true) => self.dd(x),
                (true, false) => self.d(x, Ty::F64),
                (false, true) => self.dw(x),
                (false, false) => self.w(x, if f.el == WmmaEl::F32 { Ty::F32 } else { Ty::B32 }),
            })
            .collect()
    }

    fn wmma_product(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>], shape: [u32; 3]) -> R<()> {
        let layouts = m.rest.iter().filter(|x| matches!(**x, "row" | "col")).count();
        m.rest.retain(|x| !matches!(*x, "row" | "col"));
        let saturate = m.take("satfinite");
        m.take("rn");
        let types: Vec<WmmaEl> = m.rest.iter().filter_map(|x| WmmaEl::parse(x)).collect();
        if layouts != 2 || types.len() != m.rest.len() {
            return self.unknown("layout or types");
        }
        m.rest.clear();
        // Of halves only the types of the accumulators are named.
        let (d, a, b, c) = match types[..] {
            [d, c] => (d, WmmaEl::F16, WmmaEl::F16, c),
            [d, a, b, c] => (d, a, b, c),
            _ => return self.unknown("types"),
        };
        let of = |rows, cols, el, part| Fragment { rows, cols, el, part };
        let [x, y, k] = shape;
        let (fd, fc) = (of(x, y, d, WmmaPart::C), of(x, y, c, WmmaPart::C));
        let (fa, fb) = (of(x, k, a, WmmaPart::A), of(k, y, b, WmmaPart::B));
        let good = match a {
            WmmaEl::F16 => matches!(c, WmmaEl::F16 | WmmaEl::F32) && matches!(d, WmmaEl::F16 | WmmaEl::F32),
            WmmaEl::Bf16 | WmmaEl::Tf32 => (c, d) == (WmmaEl::F32, WmmaEl::F32),
            WmmaEl::F64 => (c, d) == (WmmaEl::F64, WmmaEl::F64),
            _ => (c, d) == (WmmaEl::S32, WmmaEl::S32),
        };
        if !good || a != b || (saturate && d != WmmaEl::S32) || ![fa, fb, fc, fd].iter().all(|f| f.exists(shape)) {
            return self.unknown("types");
        }
        let o = self.need(ops, 4)?;
        let (dr, ar) = (self.fragment(&o[0], &fd, true)?, self.fragment(&o[1], &fa, false)?);
        let (br, cr) = (self.fragment(&o[2], &fb, false)?, self.fragment(&o[3], &fc, false)?);
        self.push(Op::WmmaMma(Box::new(WmmaMma { f: [fd, fa, fb, fc], saturate, regs: [dr, ar, br, cr] })))
    }
}
