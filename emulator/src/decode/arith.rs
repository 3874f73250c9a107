//! Arithmetic, comparison, moves and conversions.

use super::*;

impl<'a> Decoder<'_, 'a> {
    pub(super) fn two(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let rnd = m.rnd();
        let (approx, full) = (m.take("approx"), m.take("full"));
        let (ftz, sat) = (m.take("ftz"), m.take("sat"));
        let how = m.any(&["lo", "hi", "wide"]);
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        let o = self.need(ops, 3)?;
        if ty == Ty::Pred {
            let d = self.dp(&o[0])?;
            let (a, b) = (self.plain_p(&o[1])?, self.plain_p(&o[2])?);
            let f: fn(u32, u32) -> u32 = match base {
                "and" => |a, b| a & b,
                "or" => |a, b| a | b,
                "xor" => |a, b| a ^ b,
                _ => return self.unknown("predicates"),
            };
            return self.push(Op::P2 { f, d, a, b });
        }
        let float = ty.float() || matches!(ty, Ty::F16x2 | Ty::BF16x2);
        if float {
            if how.is_some()
                || ((approx || full) && base != "div")
                || (base == "div" && rnd.is_none() && !approx && !full)
            {
                return self.unknown("modifiers of a float operation");
            }
            let r = rnd.unwrap_or(Rnd::Near);
            if ty == Ty::F64 {
                if ftz || sat {
                    return self.unknown("ftz or sat");
                }
                let Some(f) = float_d2(base, r) else {
                    return self.unknown("type or rounding");
                };
                let (d, a, b) = (self.dd(&o[0])?, self.d(&o[1], ty)?, self.d(&o[2], ty)?);
                return self.push(Op::D2 { f, d, a, b });
            }
            let Some(f) = float_w2(base, ty, r) else {
                return self.unknown("type or rounding");
            };
            let (d, a, b) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?);
            if ftz || sat {
                if ty != Ty::F32 {
                    return self.unknown("ftz or sat of a half");
                }
                return self.push(Op::FloatX { f: FloatFn::F2(f), d, a, b, c: a, ftz, sat });
            }
            return self.push(Op::W2 { f, d, a, b });
        }
        if rnd.is_some() || ftz || approx || full {
            return self.unknown("modifiers of an integer operation");
        }
        let key = match (base, how, sat) {
            (b, Some(h), false) => format!("{b}.{h}"),
            (b, None, false) => b.to_owned(),
            (b, None, true) => format!("{b}.sat"),
            _ => return self.unknown("modifiers"),
        };
        if key == "mul.wide" && matches!(ty, Ty::U32 | Ty::S32) {
            let Some(f) = wide2(ty) else {
                return self.unknown("type");
            };
            let (d, a, b) = (self.dd(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?);
            return self.push(Op::Wide2 { f, d, a, b });
        }
        if ty.is64() {
            if matches!(base, "shl" | "shr") {
                let Some(f) = shift_d(&key, ty) else {
                    return self.unknown("type");
                };
                let (d, a, b) = (self.dd(&o[0])?, self.d(&o[1], ty)?, self.w(&o[2], Ty::U32)?);
                return self.push(Op::Dw { f, d, a, b });
            }
            let Some(f) = int_d2(&key, ty) else {
                return self.unknown("type");
            };
            let (d, a, b) = (self.dd(&o[0])?, self.d(&o[1], ty)?, self.d(&o[2], ty)?);
            return self.push(Op::D2 { f, d, a, b });
        }
        let Some(f) = int_w2(&key, ty) else {
            return self.unknown("type");
        };
        let bt = if matches!(base, "shl" | "shr") { Ty::U32 } else { ty };
        let (d, a, b) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], bt)?);
        self.push(Op::W2 { f, d, a, b })
    }

    pub(super) fn one(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let rnd = m.rnd();
        let approx = m.take("approx");
        let ftz = m.take("ftz");
        let shift = base == "bfind" && m.take("shiftamt");
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        let o = self.need(ops, 2)?;
        if ty == Ty::Pred {
            if base != "not" {
                return self.unknown("predicates");
            }
            let (d, a) = (self.dp(&o[0])?, self.plain_p(&o[1])?);
            return self.push(Op::PNot { d, a });
        }
        if !approx && matches!(rnd, Some(Rnd::Zero | Rnd::Down | Rnd::Up)) {
            return self.unknown("rounding");
        }
        if matches!(base, "sqrt" | "rcp") && rnd.is_none() && !approx {
            return self.unknown("no rounding");
        }
        let float = ty.float() || matches!(ty, Ty::F16x2 | Ty::BF16x2);
        if !float && (ftz || approx || rnd.is_some()) {
            return self.unknown("modifiers of an integer operation");
        }
        let key = if shift { format!("{base}.shiftamt") } else { base.to_owned() };
        if ty == Ty::F64 {
            let Some(f) = float_d1(base) else {
                return self.unknown("type");
            };
            let (d, a) = (self.dd(&o[0])?, self.d(&o[1], ty)?);
            return self.push(Op::D1 { f, d, a });
        }
        if float {
            let Some(f) = float_w1(base, ty) else {
                return self.unknown("type");
            };
            let (d, a) = (self.dw(&o[0])?, self.w(&o[1], ty)?);
            if ftz && ty == Ty::F32 {
                return self.push(Op::FloatX { f: FloatFn::F1(f), d, a, b: a, c: a, ftz, sat: false });
            }
            return self.push(Op::W1 { f, d, a });
        }
        if ty.is64() {
            if let Some(f) = count_d(&key, ty) {
                let (d, a) = (self.dw(&o[0])?, self.d(&o[1], ty)?);
                return self.push(Op::Wd1 { f, d, a });
            }
            let Some(f) = int_d1(&key, ty) else {
                return self.unknown("type");
            };
            let (d, a) = (self.dd(&o[0])?, self.d(&o[1], ty)?);
            return self.push(Op::D1 { f, d, a });
        }
        let Some(f) = int_w1(&key, ty) else {
            return self.unknown("type");
        };
        let (d, a) = (self.dw(&o[0])?, self.w(&o[1], ty)?);
        self.push(Op::W1 { f, d, a })
    }

    pub(super) fn three(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let rnd = m.rnd();
        let (ftz, sat, relu) = (m.take("ftz"), m.take("sat"), m.take("relu"));
        let o = self.need(ops, 4)?;
        match base {
            "shf" => {
                let dir = m.any(&["l", "r"]);
                let mode = m.any(&["wrap", "clamp"]);
                let (Some(dir), Some(mode), Some(ty)) = (dir, mode, m.ty()) else {
                    return self.unknown("modifiers");
                };
                let Some(f) = int_w3(&format!("shf.{dir}.{mode}"), ty) else {
                    return self.unknown("type");
                };
                let (d, a, b, c) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?, self.w(&o[3], Ty::U32)?);
                // A clamped left shift by 32 or more gives the low word.
                return self.push(Op::W3 { f, d, a, b, c });
            }
            "prmt" => {
                let Some(ty) = m.ty() else {
                    return self.unknown("no type");
                };
                let mode = m.any(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]);
                let key = mode.map_or("prmt".to_owned(), |x| format!("prmt.{x}"));
                let Some(f) = int_w3(&key, ty) else {
                    return self.unknown("type");
                };
                let (d, a, b, c) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?, self.w(&o[3], ty)?);
                return self.push(Op::W3 { f, d, a, b, c });
            }
            "dp4a" => {
                let (Some(ta), Some(tb)) = (m.ty(), m.ty()) else {
                    return self.unknown("no types");
                };
                let key = if ta == Ty::S32 { "dp4a.s32" } else { "dp4a.u32" };
                let Some(f) = int_w3(key, tb) else {
                    return self.unknown("type");
                };
                let (d, a, b, c) = (self.dw(&o[0])?, self.w(&o[1], ta)?, self.w(&o[2], tb)?, self.w(&o[3], Ty::B32)?);
                return self.push(Op::W3 { f, d, a, b, c });
            }
            "bfe" => {
                let Some(ty) = m.ty() else {
                    return self.unknown("no type");
                };
                let (b, c) = (self.w(&o[2], Ty::U32)?, self.w(&o[3], Ty::U32)?);
                if ty.is64() {
                    let Some(f) = bfe_d(ty) else {
                        return self.unknown("type");
                    };
                    let (d, a) = (self.dd(&o[0])?, self.d(&o[1], ty)?);
                    return self.push(Op::Dww { f, d, a, b, c });
                }
                let Some(f) = int_w3("bfe", ty) else {
                    return self.unknown("type");
                };
                let (d, a) = (self.dw(&o[0])?, self.w(&o[1], ty)?);
                return self.push(Op::W3 { f, d, a, b, c });
            }
            _ => {}
        }
        let how = m.any(&["lo", "hi", "wide"]);
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        if ty.float() || matches!(ty, Ty::F16x2 | Ty::BF16x2) {
            if how.is_some() || (base == "fma" && rnd.is_none()) {
                return self.unknown("modifiers");
            }
            let r = rnd.unwrap_or(Rnd::Near);
            if ty == Ty::F64 {
                let Some(f) = float_d3(base, r) else {
                    return self.unknown("rounding");
                };
                if ftz || sat {
                    return self.unknown("ftz or sat");
                }
                let (d, a, b, c) = (self.dd(&o[0])?, self.d(&o[1], ty)?, self.d(&o[2], ty)?, self.d(&o[3], ty)?);
                return self.push(Op::D3 { f, d, a, b, c });
            }
            let key = if relu { format!("{base}.relu") } else { base.to_owned() };
            let Some(f) = float_w3(&key, ty, r) else {
                return self.unknown("type or rounding");
            };
            let (d, a, b, c) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?, self.w(&o[3], ty)?);
            if ftz || sat {
                if ty != Ty::F32 {
                    return self.unknown("ftz or sat of a half");
                }
                return self.push(Op::FloatX { f: FloatFn::F3(f), d, a, b, c, ftz, sat });
            }
            return self.push(Op::W3 { f, d, a, b, c });
        }
        if rnd.is_some() || ftz || sat || relu {
            return self.unknown("modifiers of an integer operation");
        }
        let key = how.map_or(base.to_owned(), |h| format!("{base}.{h}"));
        if key == "mad.wide" && matches!(ty, Ty::U32 | Ty::S32) {
            let Some(f) = wide3(ty) else {
                return self.unknown("type");
            };
            let t64 = if ty == Ty::U32 { Ty::U64 } else { Ty::S64 };
            let (d, a, b, c) = (self.dd(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?, self.d(&o[3], t64)?);
            return self.push(Op::Wide3 { f, d, a, b, c });
        }
        if ty.is64() {
            let Some(f) = int_d3(&key, ty) else {
                return self.unknown("type");
            };
            let (d, a, b, c) = (self.dd(&o[0])?, self.d(&o[1], ty)?, self.d(&o[2], ty)?, self.d(&o[3], ty)?);
            return self.push(Op::D3 { f, d, a, b, c });
        }
        let Some(f) = int_w3(&key, ty) else {
            return self.unknown("type");
        };
        let tc = if how == Some("wide") { Ty::B32 } else { ty };
        let (d, a, b, c) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?, self.w(&o[3], tc)?);
        self.push(Op::W3 { f, d, a, b, c })
    }

    pub(super) fn setp(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let cmp = m.any(&[
            "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu",
            "num", "nan",
        ]);
        let bool_op = match m.any(&["and", "or", "xor"]) {
            Some("and") => Some(BoolOp::And),
            Some("or") => Some(BoolOp::Or),
            Some(_) => Some(BoolOp::Xor),
            None => None,
        };
        let ftz = m.take("ftz");
        let (Some(cmp), Some(ty)) = (cmp, m.ty()) else {
            return self.unknown("modifiers");
        };
        let o = self.need(ops, if bool_op.is_some() { 4 } else { 3 })?;
        let with = match bool_op {
            Some(op) => {
                let (p, not) = self.p(&o[3])?;
                Some((op, p, not))
            }
            None => None,
        };
        let (d, d2) = match &o[0] {
            Opd::Pair(p, q) => (self.dp(p)?, if Self::is_sink(q) { NONE } else { self.dp(q)? }),
            p => (self.dp(p)?, NONE),
        };
        if ty.float() && (ty != Ty::F32 || ftz || cmp_w(cmp, ty).is_none()) {
            let Some(f) = cmp_float_slow(cmp) else {
                return self.unknown("comparison");
            };
            let (a, b) = (self.src(&o[1], ty)?, self.src(&o[2], ty)?);
            return self.push(Op::SetpF { f, ty, ftz, d, d2, a, b, with });
        }
        if ty.is64() {
            let Some(f) = cmp_d(cmp, ty) else {
                return self.unknown("type");
            };
            let (a, b) = (self.d(&o[1], ty)?, self.d(&o[2], ty)?);
            return self.push(Op::SetpD { f, d, d2, a, b, with });
        }
        let Some(f) = cmp_w(cmp, ty) else {
            return self.unknown("type");
        };
        let (a, b) = (self.w(&o[1], ty)?, self.w(&o[2], ty)?);
        self.push(Op::SetpW { f, d, d2, a, b, with })
    }

    pub(super) fn mov(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        let o = self.need(ops, 2)?;
        if ty == Ty::Pred {
            let d = self.dp(&o[0])?;
            if let Opd::Int(v) = o[1] {
                return self.push(Op::PConst { d, v: v != 0 });
            }
            let (a, not) = self.p(&o[1])?;
            return self.push(if not { Op::PNot { d, a } } else { Op::PMov { d, a } });
        }
        match (&o[0], &o[1]) {
            (Opd::List(l), s) => match (ty.bytes(), l.len()) {
                (4, 2) => {
                    let (d, s) = (self.list::<2>(&o[0], 2, Ty::B16, true)?, self.w(s, ty)?);
                    self.push(Op::Unpack2x16 { d, s })
                }
                (8, 2) => {
                    let (d, s) = (self.list::<2>(&o[0], 2, Ty::B32, true)?, self.d(s, ty)?);
                    self.push(Op::Unpack2x32 { d, s })
                }
                (8, 4) => {
                    let (d, s) = (self.list::<4>(&o[0], 4, Ty::B16, true)?, self.d(s, ty)?);
                    self.push(Op::Unpack4x16 { d, s })
                }
                _ => self.unknown("vector"),
            },
            (d, Opd::List(l)) => match (ty.bytes(), l.len()) {
                (4, 2) => {
                    let (d, s) = (self.dw(d)?, self.list::<2>(&o[1], 2, Ty::B16, false)?);
                    self.push(Op::Pack2x16 { d, s })
                }
                (8, 2) => {
                    let (d, s) = (self.dd(d)?, self.list::<2>(&o[1], 2, Ty::B32, false)?);
                    self.push(Op::Pack2x32 { d, s })
                }
                (8, 4) => {
                    let (d, s) = (self.dd(d)?, self.list::<4>(&o[1], 4, Ty::B16, false)?);
                    self.push(Op::Pack4x16 { d, s })
                }
                _ => self.unknown("vector"),
            },
            (
                d,
                Opd::Word(
                    w @ ("%clock" | "%clock64" | "%clock_hi" | "%globaltimer" | "%globaltimer_lo" | "%globaltimer_hi"),
                    0,
                ),
            ) => {
                if w.ends_with("_hi") {
                    let (d, a) = (self.dw(d)?, self.const_w(Const::Val(0)));
                    return self.push(Op::W1 { f: w1!(|a| a), d, a });
                }
                let d = self.dst(d, ty)?;
                self.push(Op::Clock { d })
            }
            (d, s) => {
                if ty.is64() {
                    let d = self.dd(d)?;
                    let a = self.d(s, ty)?;
                    self.push(Op::D1 { f: d1!(|a| a), d, a })
                } else {
                    let d = self.dw(d)?;
                    let a = self.w(s, ty)?;
                    self.push(Op::W1 { f: w1!(|a| a), d, a })
                }
            }
        }
    }

    pub(super) fn cvt(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let int_rnd = m.any(&["rni", "rzi", "rmi", "rpi"]);
        let rnd = m.rnd();
        let (ftz, sat, relu) = (m.take("ftz"), m.take("sat"), m.take("relu"));
        let (Some(dst), Some(src)) = (m.ty(), m.ty()) else {
            return self.unknown("types");
        };
        if matches!(dst, Ty::F16x2 | Ty::BF16x2) && src == Ty::F32 {
            let o = self.need(ops, 3)?;
            let (d, hi, lo) = (self.dw(&o[0])?, self.w(&o[1], Ty::F32)?, self.w(&o[2], Ty::F32)?);
            if sat || ftz || int_rnd.is_some() || !matches!(rnd, Some(Rnd::Near | Rnd::Zero)) {
                return self.unknown("rounding");
            }
            return self.push(Op::CvtPack { d, hi, lo, bf: dst == Ty::BF16x2, rnd: rnd.unwrap_or(Rnd::Near), relu });
        }
        if !cvt_allowed(dst, src, int_rnd.is_some(), rnd, [ftz, sat, relu]) {
            return self.unknown("types and modifiers that do not go together");
        }
        let o = self.need(ops, 2)?;
        // A register may be wider than the type it is read or written as.
        let a = self.src(&o[1], src)?;
        let d = self.reg(&o[0])?;
        if matches!(a, Reg::P(_) | Reg::Q(_))
            || matches!(d, Reg::P(_) | Reg::Q(_))
            || (src.is64() && !matches!(a, Reg::D(_)))
            || (dst.is64() && !matches!(d, Reg::D(_)))
        {
            return self.unknown("an operand narrower than its type");
        }
        let plain = !sat && !ftz && !relu && int_rnd.is_none() && matches!(rnd, None | Some(Rnd::Near));
        if plain {
            if (dst, src) == (Ty::F16, Ty::F32)
                && let (Reg::W(d), Reg::W(a)) = (d, a)
            {
                return self.push(Op::W1 { f: cvt_half(), d, a });
            }
            if let Some(f) = fast_cvt(dst, src) {
                let done = match (f, d, a) {
                    (FastCvt::WW(f), Reg::W(d), Reg::W(a)) => Some(Op::W1 { f, d, a }),
                    (FastCvt::WD(f), Reg::W(d), Reg::D(a)) => Some(Op::Wd1 { f, d, a }),
                    (FastCvt::DW(f), Reg::D(d), Reg::W(a)) => Some(Op::Dw1 { f, d, a }),
                    (FastCvt::DD(f), Reg::D(d), Reg::D(a)) => Some(Op::D1 { f, d, a }),
                    _ => None,
                };
                if let Some(op) = done {
                    return self.push(op);
                }
            }
        }
        let to_int = int_rnd.is_some();
        let rnd = match int_rnd {
            Some("rni") => Rnd::Near,
            Some("rzi") => Rnd::Zero,
            Some("rmi") => Rnd::Down,
            Some(_) => Rnd::Up,
            None => rnd.unwrap_or(Rnd::Near),
        };
        self.push(Op::Cvt { dst, src, rnd, to_int, sat, ftz, relu, d, a })
    }

    pub(super) fn cvta(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let to = m.take("to");
        let space = Self::space(m);
        if !m.take("u64") {
            return self.unknown("only .u64");
        }
        let o = self.need(ops, 2)?;
        let (d, a) = (self.dd(&o[0])?, self.d(&o[1], Ty::U64)?);
        let window = match space {
            Space::Global | Space::Const => 0,
            Space::Shared | Space::Cluster => SHARED_WINDOW,
            Space::Local => LOCAL_WINDOW,
            // Addresses of kernel parameters are generic from the start.
            Space::Param => 0,
            Space::Generic => return self.unknown("no space"),
        };
        self.push(Op::Cvta { to, window, d, a })
    }
}

/// Whether a conversion exists (section 9.7.9.21 of the ISA). Flags: ftz, sat, relu.
fn cvt_allowed(dst: Ty, src: Ty, to_int: bool, rnd: Option<Rnd>, [ftz, sat, relu]: [bool; 3]) -> bool {
    use Ty::{BF16, F16, F32, F64};
    let plain =
        |t: Ty| !matches!(t, Ty::F16x2 | Ty::BF16x2 | Ty::Pred | Ty::B128 | Ty::B8 | Ty::B16 | Ty::B32 | Ty::B64);
    if !plain(dst) || !plain(src) {
        return false;
    }
    // bfloat16 came late, and without bytes and saturation.
    let byte = |t: Ty| t.bytes() == 1;
    match (dst.float(), src.float()) {
        (false, false) => {
            let (d, s) = (dst.bytes(), src.bytes());
            // Saturation has to be able to do something.
            let fits = match (dst.signed(), src.signed()) {
                (true, true) | (false, false) => d >= s,
                (true, false) => d > s,
                (false, true) => false,
            };
            !(to_int || rnd.is_some() || ftz || relu || sat && fits)
        }
        (false, true) => {
            to_int && rnd.is_none() && !relu && !(ftz && src != F32) && !(src == BF16 && (sat || byte(dst)))
        }
        (true, false) => !to_int && rnd.is_some() && !ftz && !relu && !(dst == BF16 && (sat || byte(src))),
        (true, true) => match (dst, src) {
            (d, s) if d == s => rnd.is_none() && !relu && !(ftz && d != F32) && !(d == BF16 && (sat || relu)),
            _ if to_int => false,
            (BF16, F16) | (F16 | F64, BF16) => !ftz && !sat && !relu,
            (F32, BF16) => !sat && !relu,
            (F32 | F64, F16) => rnd.is_none() && !relu && !(ftz && dst == F64),
            (F64, F32) => rnd.is_none() && !relu,
            (F16, F32) => rnd.is_some() && !(relu && (sat || ftz || !matches!(rnd, Some(Rnd::Near | Rnd::Zero)))),
            (BF16, F32) => rnd.is_some() && !sat && !(relu && (ftz || !matches!(rnd, Some(Rnd::Near | Rnd::Zero)))),
            (F16, F64) => rnd.is_some() && !ftz && !relu,
            (BF16, F64) => rnd.is_some() && !ftz && !sat && !relu,
            _ => rnd.is_some() && !relu,
        },
    }
}
