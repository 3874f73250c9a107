//! Barriers and calls.

use super::*;

impl<'o, 'a> Decoder<'o, 'a> {
    pub(super) fn bar(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if m.take("warp") {
            m.take("sync");
            let o = self.need(ops, 1)?;
            let mask = self.w(&o[0], Ty::B32)?;
            return self.push(Op::WarpSync { mask });
        }
        if m.take("cluster") {
            self.requires(90, false)?;
            let what = m.any(&["arrive", "wait"]);
            m.take("aligned");
            self.need(ops, 0)?;
            return match what {
                _ if base != "barrier" => self.unknown("mode"),
                Some("arrive") => {
                    let relaxed = m.take("relaxed");
                    m.take("release");
                    self.push(Op::ClusterArrive { relaxed })
                }
                Some(_) => {
                    m.take("acquire");
                    self.push(Op::ClusterWait)
                }
                None => self.unknown("mode"),
            };
        }
        m.take("cta");
        let what = m.any(&["sync", "arrive", "red"]);
        let aligned = m.take("aligned");
        if base == "barrier" && !aligned {
            return self.unknown("a barrier without .aligned");
        }
        match what {
            Some("red") => {
                let op = m.any(&["popc", "and", "or"]);
                let t = m.any(&["u32", "pred"]);
                if ops.len() < 3 || ops.len() > 4 {
                    return self.unknown("number of operands");
                }
                let d = if op == Some("popc") { Reg::W(self.dw(&ops[0])?) } else { Reg::P(self.dp(&ops[0])?) };
                let id = self.w(&ops[1], Ty::U32)?;
                let count = if ops.len() == 4 { self.w(&ops[2], Ty::U32)? } else { NONE };
                let (p, not) = self.p(&ops[ops.len() - 1])?;
                let red = match (op, t) {
                    (Some("popc"), Some("u32")) => BarRed::Popc(p),
                    (Some("and"), Some("pred")) => BarRed::And(p),
                    (Some("or"), Some("pred")) => BarRed::Or(p),
                    _ => return self.unknown("operation"),
                };
                self.push(Op::Bar { id, count, arrive: false, red, not, d })
            }
            Some(w) => {
                if ops.is_empty() || ops.len() > 2 || (w == "arrive" && ops.len() != 2) {
                    return self.unknown("number of operands");
                }
                let id = self.w(&ops[0], Ty::U32)?;
                let count = if ops.len() == 2 { self.w(&ops[1], Ty::U32)? } else { NONE };
                self.push(Op::Bar { id, count, arrive: w == "arrive", red: BarRed::None, not: false, d: Reg::W(NONE) })
            }
            None => self.unknown("mode"),
        }
    }

    pub(super) fn call(&mut self, ops: &[Opd<'a>]) -> R<()> {
        let (rets, rest) = match ops {
            [Opd::Paren(r), rest @ ..] => (r.as_slice(), rest),
            rest => (&[][..], rest),
        };
        let (name, args) = match rest {
            [Opd::Word(n, 0)] => (*n, &[][..]),
            [Opd::Word(n, 0), Opd::Paren(a)] => (*n, a.as_slice()),
            _ => return self.unknown("a call of this form"),
        };
        if name == "__assertfail" {
            return self.push(Op::Assert);
        }
        let o = self.o;
        let Some(f) = o.funcs.iter().find(|f| f.name == name && !f.entry) else {
            return self.err(format!("no function '{name}'"));
        };
        if f.params.len() != args.len() || f.rets.len() != rets.len() {
            return self.err(format!("'{name}' called with the wrong number of arguments"));
        }
        let mut scope = Scope::default();
        for (v, a) in f.params.iter().zip(args).chain(f.rets.iter().zip(rets)) {
            let Opd::Word(w, 0) = a else {
                return self.unknown("an argument that is not a variable");
            };
            match self.lookup(w) {
                Some(s @ Sym::Local(_)) => scope.syms.insert(v.name.clone(), s),
                _ => return self.err(format!("'{w}' is not a parameter variable")),
            };
        }
        let end = self.labels.len();
        self.labels.push(None);
        self.label_names.push(format!("the end of {name}"));
        let (guard, loc, line) = (self.guard, self.loc, self.line);
        if guard.0 != NONE {
            // A guarded call: those that do not call go straight to its end.
            self.guard = (guard.0, !guard.1);
            self.push(Op::Bra { to: end as u32, rpc: PC_END })?;
            self.guard = (NONE, false);
        }
        self.func(f, scope, Some(end))?;
        self.labels[end] = Some(self.ins.len() as u32);
        (self.loc, self.line) = (loc, line);
        Ok(())
    }
}
