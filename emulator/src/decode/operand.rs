//! Operands as written, and the registers, constants and addresses that they name.

use super::*;

/// An operand as written.
#[derive(Clone, Debug)]
pub(super) enum Opd<'a> {
    Word(&'a str, i64),
    /// A part of a vector of registers, named as a whole.
    Part(&'a str, &'static str),
    Int(u64),
    F32(u32),
    F64(u64),
    List(Vec<Opd<'a>>),
    Mem(Box<Opd<'a>>, i64),
    Not(Box<Opd<'a>>),
    Pair(Box<Opd<'a>>, Box<Opd<'a>>),
    Paren(Vec<Opd<'a>>),
    /// A tensor map and the coordinates in it.
    Tensor(Box<Opd<'a>>, Vec<Opd<'a>>),
}

/// An opcode split at its dots; every modifier has to be consumed.
pub(super) struct Mods<'a> {
    pub rest: Vec<&'a str>,
}
impl<'a> Mods<'a> {
    pub fn take(&mut self, m: &str) -> bool {
        match self.rest.iter().position(|x| *x == m) {
            Some(i) => {
                self.rest.remove(i);
                true
            }
            None => false,
        }
    }
    pub fn any(&mut self, of: &[&'static str]) -> Option<&'static str> {
        of.iter().copied().find(|o| self.take(o))
    }
    pub fn ty(&mut self) -> Option<Ty> {
        let i = self.rest.iter().position(|x| Ty::parse(x).is_some())?;
        Ty::parse(self.rest.remove(i))
    }
    pub fn rnd(&mut self) -> Option<Rnd> {
        Some(match self.any(&["rn", "rz", "rm", "rp"])? {
            "rn" => Rnd::Near,
            "rz" => Rnd::Zero,
            "rm" => Rnd::Down,
            _ => Rnd::Up,
        })
    }
}

impl<'o, 'a> Decoder<'o, 'a> {
    pub(super) fn operand(&mut self, c: &mut Cur<'o, 'a>) -> R<Opd<'a>> {
        let list = |s: &mut Self, c: &mut Cur<'o, 'a>, end: u8| -> R<Vec<Opd<'a>>> {
            let mut v = Vec::new();
            while !c.eat(end) {
                v.push(s.operand(c)?);
                if !c.eat(b',') && !c.is(end) {
                    return Err(LoadError::new(c.line(), format!("'{}' expected, {} found", end as char, c.found())));
                }
            }
            Ok(v)
        };
        self.line = c.line();
        Ok(match c.peek() {
            Some(Tok::P(b'{')) => {
                c.at += 1;
                Opd::List(list(self, c, b'}')?)
            }
            Some(Tok::P(b'(')) => {
                c.at += 1;
                Opd::Paren(list(self, c, b')')?)
            }
            Some(Tok::P(b'[')) => {
                c.at += 1;
                let base = self.operand(c)?;
                let (base, mut off) = match base {
                    Opd::Word(w, o) => (Opd::Word(w, 0), o),
                    b => (b, 0),
                };
                if c.eat(b'+') || c.is(b'-') {
                    off += c.int()? as i64;
                }
                if c.eat(b',') {
                    let coords = self.operand(c)?;
                    let Opd::List(v) = coords else {
                        return self.err("coordinates expected");
                    };
                    if !c.eat(b']') {
                        return self.err(format!("']' expected, {} found", c.found()));
                    }
                    return Ok(Opd::Tensor(Box::new(Opd::Mem(Box::new(base), off)), v));
                }
                if !c.eat(b']') {
                    return self.err(format!("']' expected, {} found", c.found()));
                }
                Opd::Mem(Box::new(base), off)
            }
            Some(Tok::P(b'!')) => {
                c.at += 1;
                Opd::Not(Box::new(self.operand(c)?))
            }
            Some(Tok::P(b'-')) => {
                c.at += 1;
                match c.next() {
                    Some(Tok::Int(v)) => Opd::Int(v.wrapping_neg()),
                    Some(Tok::F64(v)) => Opd::F64(v ^ (1 << 63)),
                    Some(Tok::F32(v)) => Opd::F32(v ^ (1 << 31)),
                    _ => return self.err("a number expected after '-'"),
                }
            }
            Some(Tok::Int(v)) => {
                c.at += 1;
                Opd::Int(*v)
            }
            Some(Tok::F32(v)) => {
                c.at += 1;
                Opd::F32(*v)
            }
            Some(Tok::F64(v)) => {
                c.at += 1;
                Opd::F64(*v)
            }
            Some(Tok::Word(w)) => {
                c.at += 1;
                if c.eat(b'|') {
                    let second = self.operand(c)?;
                    return Ok(Opd::Pair(Box::new(Opd::Word(w, 0)), Box::new(second)));
                }
                let mut off = 0;
                let minus = c.is(b'-') && matches!(c.toks.get(c.at + 1).map(|t| &t.tok), Some(Tok::Int(_)));
                if c.eat(b'+') || minus {
                    off = c.int()? as i64;
                }
                Opd::Word(w, off)
            }
            _ => return self.err(format!("an operand expected, {} found", c.found())),
        })
    }

    pub(super) fn sreg_of(&mut self, w: &str) -> Option<u32> {
        let dim = |s: &str| match s {
            "x" => Some(0u8),
            "y" => Some(1),
            "z" => Some(2),
            _ => None,
        };
        let (head, tail) = w.split_once('.').unwrap_or((w, ""));
        let s = match (head, dim(tail)) {
            ("%tid", Some(d)) => Sreg::Tid(d),
            ("%ntid", Some(d)) => Sreg::Ntid(d),
            ("%ctaid", Some(d)) => Sreg::Ctaid(d),
            ("%nctaid", Some(d)) => Sreg::Nctaid(d),
            ("%clusterid", Some(d)) => Sreg::ClusterId(d),
            ("%nclusterid", Some(d)) => Sreg::NClusterId(d),
            ("%cluster_ctaid", Some(d)) => Sreg::ClusterCtaid(d),
            ("%cluster_nctaid", Some(d)) => Sreg::ClusterNctaid(d),
            ("%laneid", None) => Sreg::LaneId,
            ("%warpid", None) => Sreg::WarpId,
            ("%nwarpid", None) => Sreg::NWarpId,
            ("%smid", None) => Sreg::SmId,
            ("%nsmid", None) => Sreg::NSmId,
            ("%gridid", None) => Sreg::GridId,
            ("%lanemask_eq", None) => Sreg::LaneMask(0),
            ("%lanemask_le", None) => Sreg::LaneMask(1),
            ("%lanemask_lt", None) => Sreg::LaneMask(2),
            ("%lanemask_ge", None) => Sreg::LaneMask(3),
            ("%lanemask_gt", None) => Sreg::LaneMask(4),
            ("%dynamic_smem_size", None) => Sreg::DynSmem,
            ("%total_smem_size", None) => Sreg::TotalSmem,
            ("%cluster_ctarank", None) => Sreg::ClusterRank,
            ("%cluster_nctarank", None) => Sreg::ClusterSize,
            ("%aggr_smem_size", None) => Sreg::TotalSmem,
            ("%reserved_smem_offset_begin" | "%reserved_smem_offset_end" | "%reserved_smem_offset_cap", None) => {
                Sreg::Zero
            }
            (w, None) if w.starts_with("%envreg") => match w["%envreg".len()..].parse() {
                Ok(n @ 0..32) => Sreg::EnvReg(n),
                _ => return None,
            },
            ("WARP_SZ", None) => Sreg::WarpSize,
            _ => return None,
        };
        Some(self.sreg(s))
    }

    /// An address that is known at load time, as a constant.
    pub(super) fn sym_const(&mut self, w: &str, off: i64) -> Option<Const> {
        let v = |base: u64| Const::Val(base.wrapping_add(off as u64));
        Some(match self.lookup(w)? {
            Sym::Mem(a) => v(a),
            Sym::Shared(o) => v(o + u64::from(SHARED_BASE)),
            Sym::Local(o) => v(o),
            Sym::Param(o) => v(PARAM_WINDOW + o),
            Sym::DynShared => Const::DynShared(off),
            Sym::Reg(_) | Sym::Label(_) | Sym::Vector(_) => return None,
        })
    }

    pub(super) fn int_of(o: &Opd<'_>, ty: Option<Ty>) -> Option<u64> {
        Some(match (o, ty) {
            (Opd::Int(v), Some(Ty::F32)) => u64::from((*v as i64 as f32).to_bits()),
            (Opd::Int(v), Some(Ty::F64)) => (*v as i64 as f64).to_bits(),
            (Opd::Int(v), _) => *v,
            (Opd::F32(b), Some(Ty::F64)) => f64::from(f32::from_bits(*b)).to_bits(),
            (Opd::F32(b), _) => u64::from(*b),
            (Opd::F64(b), Some(Ty::F32)) => u64::from((f64::from_bits(*b) as f32).to_bits()),
            (Opd::F64(b), _) => *b,
            _ => return None,
        })
    }

    /// A source of at most 32 bits.
    pub(super) fn w(&mut self, o: &Opd<'a>, ty: Ty) -> R<u32> {
        if let Some(v) = Self::int_of(o, Some(ty)) {
            let keep = if ty.bytes() >= 4 { 0xffff_ffff } else { (1u64 << (8 * ty.bytes())) - 1 };
            return Ok(self.const_w(Const::Val(v & keep)));
        }
        match o {
            Opd::Word(w, 0) if w.starts_with('%') || *w == "WARP_SZ" => {
                if let Some(s) = self.lookup(w) {
                    return match s {
                        Sym::Reg(Reg::W(r)) => Ok(r),
                        _ => self.err(format!("'{w}' is not a register of 32 bits or less")),
                    };
                }
                match self.sreg_of(w) {
                    Some(s) => Ok(s),
                    None => self.err(format!("no register '{w}'")),
                }
            }
            Opd::Word(w, off) => {
                if let Some(Sym::Reg(Reg::W(r))) = self.lookup(w)
                    && *off == 0
                {
                    return Ok(r);
                }
                match self.sym_const(w, *off) {
                    Some(c) => Ok(self.const_w(match c {
                        Const::Val(v) => Const::Val(v & 0xffff_ffff),
                        c => c,
                    })),
                    None => self.err(format!("'{w}' is not an operand of 32 bits")),
                }
            }
            _ => self.err("an operand of an unexpected form"),
        }
    }

    /// A source of 64 bits.
    pub(super) fn d(&mut self, o: &Opd<'a>, ty: Ty) -> R<u32> {
        if let Some(v) = Self::int_of(o, Some(ty)) {
            return Ok(self.const_d(Const::Val(v)));
        }
        match o {
            Opd::Word(w, off) => {
                if let Some(s) = self.lookup(w) {
                    match s {
                        Sym::Reg(Reg::D(r)) if *off == 0 => return Ok(r),
                        Sym::Reg(_) => {
                            return self.err(format!("'{w}' is not a register of 64 bits"));
                        }
                        _ => {}
                    }
                }
                match self.sym_const(w, *off) {
                    Some(c) => Ok(self.const_d(c)),
                    None => self.err(format!("'{w}' is not an operand of 64 bits")),
                }
            }
            _ => self.err("an operand of an unexpected form"),
        }
    }

    pub(super) fn reg(&mut self, o: &Opd<'a>) -> R<Reg> {
        match o {
            Opd::Word(w, 0) => match self.lookup(w) {
                Some(Sym::Reg(r)) => Ok(r),
                _ => self.err(format!("'{w}' is not a register")),
            },
            Opd::Part(w, p) => match self.lookup(&format!("{w}.{p}")) {
                Some(Sym::Reg(r)) => Ok(r),
                _ => self.err(format!("'{w}.{p}' is not a register")),
            },
            _ => self.err("a register expected"),
        }
    }

    /// A source of whatever width its register has; constants take the type's.
    pub(super) fn src(&mut self, o: &Opd<'a>, ty: Ty) -> R<Reg> {
        if let Opd::Word(w, 0) = o
            && let Some(Sym::Reg(r)) = self.lookup(w)
        {
            return Ok(r);
        }
        if matches!(o, Opd::Part(..)) {
            return self.reg(o);
        }
        Ok(if ty.is64() { Reg::D(self.d(o, ty)?) } else { Reg::W(self.w(o, ty)?) })
    }

    pub(super) fn is_sink(o: &Opd<'_>) -> bool {
        matches!(o, Opd::Word("_", 0))
    }

    pub(super) fn dw(&mut self, o: &Opd<'a>) -> R<u32> {
        if Self::is_sink(o) {
            return Ok(match self.new_reg(Class::W) {
                Reg::W(r) => r,
                _ => 0,
            });
        }
        match self.reg(o)? {
            Reg::W(r) => Ok(r),
            _ => self.err("the result does not have 32 bits or less"),
        }
    }

    pub(super) fn dd(&mut self, o: &Opd<'a>) -> R<u32> {
        if Self::is_sink(o) {
            return Ok(match self.new_reg(Class::D) {
                Reg::D(r) => r,
                _ => 0,
            });
        }
        match self.reg(o)? {
            Reg::D(r) => Ok(r),
            _ => self.err("the result does not have 64 bits"),
        }
    }

    pub(super) fn dp(&mut self, o: &Opd<'a>) -> R<u32> {
        if Self::is_sink(o) {
            return Ok(match self.new_reg(Class::P) {
                Reg::P(r) => r,
                _ => 0,
            });
        }
        match self.reg(o)? {
            Reg::P(r) => Ok(r),
            _ => self.err("a predicate expected"),
        }
    }

    /// A predicate source: register, its negation, or a constant.
    pub(super) fn p(&mut self, o: &Opd<'a>) -> R<(u32, bool)> {
        match o {
            Opd::Not(i) => {
                let (p, n) = self.p(i)?;
                Ok((p, !n))
            }
            Opd::Int(v) => {
                let Reg::P(d) = self.new_reg(Class::P) else {
                    return self.err("no predicate");
                };
                let g = std::mem::replace(&mut self.guard, (NONE, false));
                self.push(Op::PConst { d, v: *v != 0 })?;
                self.guard = g;
                Ok((d, false))
            }
            o => Ok((self.dp(o)?, false)),
        }
    }

    /// A destination of the class that a type needs.
    pub(super) fn dst(&mut self, o: &Opd<'a>, ty: Ty) -> R<Reg> {
        Ok(if ty.is64() { Reg::D(self.dd(o)?) } else { Reg::W(self.dw(o)?) })
    }

    pub(super) fn addr(&mut self, o: &Opd<'a>, space: Space) -> R<(Addr, Space)> {
        let Opd::Mem(base, off) = o else {
            return self.err("an address in brackets expected");
        };
        match &**base {
            Opd::Int(v) => Ok((Addr { base: Base::None, off: (*v as i64).wrapping_add(*off) }, space)),
            Opd::Word(w, _) => match self.lookup(w) {
                Some(Sym::Reg(Reg::D(r))) => Ok((Addr { base: Base::D(r), off: *off }, space)),
                Some(Sym::Reg(Reg::W(r))) => {
                    if matches!(space, Space::Global | Space::Generic | Space::Const) {
                        return self.err("an address of 32 bits in a space that needs 64");
                    }
                    Ok((Addr { base: Base::W(r), off: *off }, space))
                }
                Some(Sym::Local(a)) => {
                    let s = if space == Space::Param { Space::Local } else { space };
                    Ok((Addr { base: Base::None, off: (a as i64).wrapping_add(*off) }, s))
                }
                Some(Sym::Param(a)) => Ok((Addr { base: Base::None, off: (a as i64).wrapping_add(*off) }, space)),
                Some(Sym::DynShared) => {
                    let r = self.const_w(Const::DynShared(0));
                    Ok((Addr { base: Base::W(r), off: *off }, space))
                }
                Some(Sym::Mem(a)) => Ok((Addr { base: Base::None, off: (a as i64).wrapping_add(*off) }, space)),
                Some(Sym::Shared(a)) => {
                    Ok((Addr { base: Base::None, off: (a as i64 + i64::from(SHARED_BASE)).wrapping_add(*off) }, space))
                }
                _ => self.err(format!("no address '{w}'")),
            },
            _ => self.err("an address of an unexpected form"),
        }
    }

    pub(super) fn space(m: &mut Mods<'a>) -> Space {
        match m.any(&[
            "global",
            "shared::cta",
            "shared::cluster",
            "shared",
            "local",
            "param::entry",
            "param::func",
            "param",
            "const",
        ]) {
            Some("global") => Space::Global,
            Some("shared" | "shared::cta") => Space::Shared,
            Some("shared::cluster") => Space::Cluster,
            Some("local") => Space::Local,
            Some("param" | "param::entry" | "param::func") => Space::Param,
            Some("const") => Space::Const,
            _ => Space::Generic,
        }
    }

    pub(super) fn list<const N: usize>(&mut self, o: &Opd<'a>, n: usize, ty: Ty, dest: bool) -> R<[u32; N]> {
        let Opd::List(v) = o else {
            return if n == 1 {
                let one = if dest { self.dw(o)? } else { self.w(o, ty)? };
                let mut out = [0; N];
                out[0] = one;
                Ok(out)
            } else {
                self.err("a vector operand expected")
            };
        };
        if v.len() != n || n > N {
            return self.err(format!("a vector of {} where {n} are expected", v.len()));
        }
        let mut out = [0; N];
        for (i, x) in v.iter().enumerate() {
            out[i] = if dest { self.dw(x)? } else { self.w(x, ty)? };
        }
        Ok(out)
    }

    pub(super) fn need<'x>(&self, ops: &'x [Opd<'a>], n: usize) -> R<&'x [Opd<'a>]> {
        if ops.len() == n { Ok(ops) } else { self.err(format!("{n} operands expected, {} given", ops.len())) }
    }

    /// A predicate source in a register that is not negated.
    pub(super) fn plain_p(&mut self, o: &Opd<'a>) -> R<u32> {
        let (a, not) = self.p(o)?;
        if !not {
            return Ok(a);
        }
        let Reg::P(d) = self.new_reg(Class::P) else {
            return self.err("no predicate");
        };
        let g = std::mem::replace(&mut self.guard, (NONE, false));
        self.push(Op::PNot { d, a })?;
        self.guard = g;
        Ok(d)
    }

    pub(super) fn vec_regs(&mut self, o: &Opd<'a>, n: usize, ty: Ty, dest: bool) -> R<[Reg; 4]> {
        let one = |s: &mut Self, x: &Opd<'a>| -> R<Reg> {
            let r = if dest { if Self::is_sink(x) { s.dst(x, ty)? } else { s.reg(x)? } } else { s.src(x, ty)? };
            if matches!(r, Reg::P(_) | Reg::Q(_)) || (ty.is64() && !matches!(r, Reg::D(_))) {
                return s.unknown("a register narrower than the access");
            }
            Ok(r)
        };
        let mut out = [Reg::W(NONE); 4];
        if ty == Ty::B128 {
            // One register of 128 bits is two of 64 here.
            let q = match o {
                o if dest && Self::is_sink(o) => self.new_reg(Class::Q),
                o => self.reg(o)?,
            };
            let Reg::Q(q) = q else {
                return self.unknown("a register of 128 bits expected");
            };
            (out[0], out[1]) = (Reg::D(q), Reg::D(q + 1));
            return Ok(out);
        }
        match o {
            Opd::List(v) if v.len() == n => {
                for (i, x) in v.iter().enumerate() {
                    out[i] = one(self, x)?;
                }
            }
            Opd::List(_) => return self.unknown("vector length"),
            x if n == 1 => out[0] = one(self, x)?,
            _ => return self.unknown("a vector expected"),
        }
        Ok(out)
    }
}
