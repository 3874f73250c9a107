//! Loads, stores, atomics and `cp.async`.

use super::*;

impl<'a> Decoder<'_, 'a> {
    pub(super) fn mem_mods(&mut self, m: &mut Mods<'a>) -> R<MemFlags> {
        let mut fl = MemFlags::default();
        if m.take("volatile") {
            fl.strong = true;
        }
        if m.take("relaxed") {
            fl.strong = true;
        }
        if m.take("mmio") && !fl.strong {
            return self.unknown("mmio without relaxed");
        }
        m.take("weak");
        if m.take("acquire") {
            fl.strong = true;
            fl.acquire = true;
        }
        if m.take("release") {
            fl.strong = true;
            fl.release = true;
        }
        if m.take("acq_rel") {
            fl.strong = true;
            fl.acquire = true;
            fl.release = true;
        }
        fl.near = matches!(m.any(&["cta", "cluster", "gpu", "sys"]), Some("cta" | "cluster"));
        fl.nc = m.take("nc");
        m.any(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
        m.any(&["L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate"]);
        m.any(&["L2::evict_normal", "L2::evict_first", "L2::evict_last"]);
        m.any(&["L2::64B", "L2::128B", "L2::256B"]);
        Ok(fl)
    }

    pub(super) fn ld(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let fl = self.mem_mods(m)?;
        let hint = m.take("L2::cache_hint");
        let space = Self::space(m);
        let n = match m.any(&["v2", "v4"]) {
            Some("v2") => 2,
            Some(_) => 4,
            None => 1,
        };
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        let o = self.need(ops, if hint { 3 } else { 2 })?;
        if fl.strong && space == Space::Local {
            return self.unknown("an ordered access to local memory");
        }
        if n * ty.bytes() > 16 || ty == Ty::Pred {
            return self.unknown("more than 16 bytes");
        }
        let d = self.vec_regs(&o[0], n as usize, ty, true)?;
        let (a, space) = self.addr(&o[1], space)?;
        let ext = match ty {
            Ty::S8 => Ext::Sign8,
            Ty::S16 => Ext::Sign16,
            Ty::S32 => Ext::Sign32,
            _ => Ext::Zero,
        };
        let (bytes, n) = if ty == Ty::B128 { (8, 2) } else { (ty.bytes() as u8, n as u8) };
        self.push(Op::Ld { space, bytes, n, ext, fl, d, a })
    }

    pub(super) fn st(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let fl = self.mem_mods(m)?;
        let hint = m.take("L2::cache_hint");
        let space = Self::space(m);
        let n = match m.any(&["v2", "v4"]) {
            Some("v2") => 2,
            Some(_) => 4,
            None => 1,
        };
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        let o = self.need(ops, if hint { 3 } else { 2 })?;
        if fl.strong && space == Space::Local {
            return self.unknown("an ordered access to local memory");
        }
        if n * ty.bytes() > 16 || ty == Ty::Pred {
            return self.unknown("more than 16 bytes");
        }
        let (a, space) = self.addr(&o[0], space)?;
        if matches!(space, Space::Const) || (space == Space::Param) {
            return self.unknown("a store to a read-only space");
        }
        let s = self.vec_regs(&o[1], n as usize, ty, false)?;
        let (bytes, n) = if ty == Ty::B128 { (8, 2) } else { (ty.bytes() as u8, n as u8) };
        self.push(Op::St { space, bytes, n, fl, s, a })
    }

    pub(super) fn atom(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let mut fl = self.mem_mods(m)?;
        fl.strong = true;
        m.take("noftz");
        let space = Self::space(m);
        let op = match m.any(&["add", "min", "max", "inc", "dec", "cas", "exch", "and", "or", "xor"]) {
            Some("add") => AtomOp::Add,
            Some("min") => AtomOp::Min,
            Some("max") => AtomOp::Max,
            Some("inc") => AtomOp::Inc,
            Some("dec") => AtomOp::Dec,
            Some("cas") => AtomOp::Cas,
            Some("exch") => AtomOp::Exch,
            Some("and") => AtomOp::And,
            Some("or") => AtomOp::Or,
            Some("xor") => AtomOp::Xor,
            _ => return self.unknown("operation"),
        };
        let hint = m.take("L2::cache_hint");
        let n = match m.any(&["v2", "v4", "v8"]) {
            None => 1,
            Some(v) => usize::from(v.as_bytes()[1] - b'0'),
        };
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        if ty == Ty::Pred
            || ty.bytes() == 1
            || !matches!(space, Space::Global | Space::Shared | Space::Cluster | Space::Generic)
        {
            return self.unknown("type or space");
        }
        let half = matches!(ty, Ty::F16 | Ty::BF16 | Ty::F16x2 | Ty::BF16x2);
        let float = ty.float() || half;
        if n > 1 {
            // Vectors are of floats in global memory, of eight or sixteen bytes.
            self.requires(90, false)?;
            if !matches!(space, Space::Global | Space::Generic)
                || !(ty == Ty::F32 || half)
                || n as u32 * ty.bytes() > 16
                || n as u32 * ty.bytes() < 4
            {
                return self.unknown("vector");
            }
        }
        let float_ok = match op {
            AtomOp::Add => true,
            AtomOp::Min | AtomOp::Max => !float || (half && n > 1),
            _ => !float,
        };
        if !float_ok {
            return self.unknown("operation on floats");
        }
        let is_red = base == "red";
        let k = usize::from(!is_red);
        let count = k + 2 + usize::from(op == AtomOp::Cas) + usize::from(hint);
        let o = self.need(ops, count)?;
        let (a, space) = self.addr(&o[k], space)?;
        if ty == Ty::B128 {
            if is_red || !matches!(op, AtomOp::Cas | AtomOp::Exch) {
                return self.unknown("type");
            }
            self.requires(90, false)?;
            let wide = |s: &mut Self, x: &Opd<'a>, d: bool| s.vec_regs(x, 1, ty, d);
            let d = if Self::is_sink(&o[0]) { None } else { Some(wide(self, &o[0], true)?) };
            let b = wide(self, &o[2], false)?;
            let c = if op == AtomOp::Cas { Some(wide(self, &o[3], false)?) } else { None };
            return self.push(Op::Atom128(Box::new(Atom128 { space, fl, d, a, b, c })));
        }
        let one = |s: &mut Self, x: &Opd<'a>| -> R<Reg> {
            Ok(if ty.is64() { Reg::D(s.d(x, ty)?) } else { Reg::W(s.w(x, ty)?) })
        };
        if n > 1 {
            let list = |o: &Opd<'a>| match o {
                Opd::List(v) if v.len() == n => Some(v.clone()),
                _ => None,
            };
            let (to, from) = (if is_red { None } else { list(&o[0]) }, list(&o[k + 1]));
            let (Some(from), true) = (from, is_red || to.is_some()) else {
                return self.unknown("vector length");
            };
            let b = from.iter().map(|x| one(self, x)).collect::<R<Vec<_>>>()?;
            let wide = n as u32 * ty.bytes();
            // The address has to fit the whole vector. Results wait in registers of their own, as a result may be an operand too.
            let mut results = Vec::new();
            for (i, b) in b.into_iter().enumerate() {
                let d = to.as_ref().map(|_| self.new_reg(Class::W));
                results.extend(d);
                let at = Addr { off: a.off.wrapping_add(i64::from(ty.bytes()) * i as i64), ..a };
                let align = if i == 0 { wide } else { ty.bytes() };
                self.push(Op::Atom { space, op, ty, fl, d, a: at, b, c: None, align })?;
            }
            for (x, r) in to.iter().flatten().zip(results) {
                if !Self::is_sink(x) {
                    let d = Reg::W(self.dw(x)?);
                    self.scalar(&[d], &[r], |s| [s[0], 0])?;
                }
            }
            return Ok(());
        }
        let d = if is_red || Self::is_sink(&o[0]) { None } else { Some(self.dst(&o[0], ty)?) };
        let b = one(self, &o[k + 1])?;
        let c = if op == AtomOp::Cas { Some(one(self, &o[k + 2])?) } else { None };
        self.push(Op::Atom { space, op, ty, fl, d, a, b, c, align: ty.bytes() })
    }

    pub(super) fn cp(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let reduce = m.take("reduce");
        if !m.take("async") || (reduce && !m.rest.contains(&"bulk")) {
            return self.unknown("only cp.async");
        }
        if m.take("bulk") {
            return self.bulk(m, ops, reduce);
        }
        if m.take("mbarrier") {
            return self.copy_arrive(m, ops);
        }
        if m.take("commit_group") {
            return self.push(Op::CpCommit);
        }
        if m.take("wait_all") {
            return self.push(Op::CpWaitAll);
        }
        if m.take("wait_group") {
            let o = self.need(ops, 1)?;
            let Opd::Int(n) = o[0] else {
                return self.unknown("a number of groups expected");
            };
            return self.push(Op::CpWait { n: n.min(u64::from(u32::MAX)) as u32 });
        }
        let cache = m.any(&["ca", "cg"]);
        let Some(cache) = cache else {
            return self.unknown("kind of copy");
        };
        if !(m.take("shared") || m.take("shared::cta")) || !m.take("global") {
            return self.unknown("spaces");
        }
        m.any(&["L2::64B", "L2::128B", "L2::256B"]);
        let hint = m.take("L2::cache_hint");
        if ops.len() < 3 || ops.len() > 5 {
            return self.unknown("number of operands");
        }
        let (dst, _) = self.addr(&ops[0], Space::Shared)?;
        let (src, _) = self.addr(&ops[1], Space::Global)?;
        let Opd::Int(bytes) = ops[2] else {
            return self.unknown("a size expected");
        };
        let ok = matches!((cache, bytes), ("ca", 4 | 8 | 16) | ("cg", 16));
        if !ok {
            return self.unknown("copy size");
        }
        let mut src_size = NONE;
        let mut ignore = NONE;
        let last = ops.len() - usize::from(hint);
        if last > 4 {
            return self.unknown("number of operands");
        }
        if last == 4 {
            match &ops[3] {
                x @ Opd::Word(w, 0) => match self.lookup(w) {
                    Some(Sym::Reg(Reg::P(p))) => ignore = p,
                    _ => src_size = self.w(x, Ty::U32)?,
                },
                x => src_size = self.w(x, Ty::U32)?,
            }
        }
        self.push(Op::CpAsync { bytes: bytes as u8, bypass: cache == "cg", dst, src, src_size, ignore })
    }
}
