//! Calls of device functions, which are expanded in place; a call through an address becomes a choice among the functions whose
//! address the module takes.

use super::*;

/// An argument or a result as the caller names it.
#[derive(Clone, Copy)]
enum Actual {
    /// A parameter variable, in local memory.
    Memory(u64),
    Register(Reg),
}

impl<'o, 'a> Decoder<'o, 'a> {
    fn actual(&mut self, o: &Opd<'a>, formal: Option<&Var>, result: bool) -> R<Actual> {
        if let Opd::Word(w, 0) = o
            && let Some(Sym::Local(a)) = self.lookup(w)
        {
            return Ok(Actual::Memory(a));
        }
        if result {
            return Ok(Actual::Register(if Self::is_sink(o) { self.new_reg(Class::D) } else { self.reg(o)? }));
        }
        match o {
            Opd::Word(w, 0) => match self.lookup(w) {
                Some(Sym::Reg(r)) => return Ok(Actual::Register(r)),
                Some(Sym::Mem(_) | Sym::Shared(_) | Sym::DynShared) => {}
                _ => return self.err(format!("'{w}' is neither a parameter variable nor a register")),
            },
            Opd::Int(_) | Opd::F32(_) | Opd::F64(_) => {}
            _ => return self.unknown("an argument of this form"),
        }
        // A constant: as wide as the parameter that gets it.
        let wide = formal.is_none_or(|v| v.size == 8);
        Ok(Actual::Register(if wide { Reg::D(self.d(o, Ty::B64)?) } else { Reg::W(self.w(o, Ty::B32)?) }))
    }

    fn class_of(&self, v: &Var) -> R<Class> {
        Ok(match v.reg.as_deref() {
            Some(".pred") => Class::P,
            _ => match v.size {
                1 | 2 | 4 => Class::W,
                8 => Class::D,
                16 => Class::Q,
                n => return self.err(format!("a parameter '{}' of {n} bytes in a register", v.name)),
            },
        })
    }

    fn copy(&mut self, d: Reg, s: Reg) -> R<()> {
        match (d, s) {
            (Reg::Q(d), Reg::Q(s)) => {
                self.scalar(&[Reg::D(d), Reg::D(d + 1)], &[Reg::D(s), Reg::D(s + 1)], |s| [s[0], s[1]])
            }
            (Reg::Q(_), _) | (_, Reg::Q(_)) => self.unknown("an argument of another width"),
            (d, s) => self.scalar(&[d], &[s], |s| [s[0], 0]),
        }
    }

    /// A place in local memory for a parameter.
    fn slot(&mut self, bytes: u64, align: u32) -> u64 {
        let at = align_up(self.local, u64::from(align));
        self.local = at + bytes;
        at
    }

    pub(super) fn call(&mut self, ops: &[Opd<'a>]) -> R<()> {
        let (rets, rest) = match ops {
            [Opd::Paren(r), rest @ ..] => (r.as_slice(), rest),
            rest => (&[][..], rest),
        };
        let (callee, args, list) = match rest {
            [Opd::Word(n, 0)] => (*n, &[][..], None),
            [Opd::Word(n, 0), Opd::Paren(a)] => (*n, a.as_slice(), None),
            [Opd::Word(n, 0), Opd::Paren(a), Opd::Word(l, 0)] => (*n, a.as_slice(), Some(*l)),
            [Opd::Word(n, 0), Opd::Word(l, 0)] => (*n, &[][..], Some(*l)),
            _ => return self.unknown("a call of this form"),
        };
        let (guard, loc, line) = (self.guard, self.loc, self.line);
        let end = self.new_label(format!("the end of {callee}"));
        if guard.0 != NONE {
            // A guarded call: those that do not call go straight to its end.
            self.guard = (guard.0, !guard.1);
            self.push(Op::Bra { to: end as u32, rpc: PC_END })?;
            self.guard = (NONE, false);
        }
        if let Some(Sym::Reg(Reg::D(address))) = self.lookup(callee) {
            self.indirect(address, args, rets, list)?;
        } else if !self.system(callee, args, rets)? {
            let o = self.o;
            let Some(f) = o.funcs.iter().find(|f| f.name == callee && !f.entry) else {
                return self.err(format!("no function '{callee}'"));
            };
            if f.params.len() != args.len() || f.rets.len() != rets.len() {
                return self.err(format!("'{callee}' called with the wrong number of arguments"));
            }
            self.expand(f, args, rets)?;
        }
        self.labels[end] = Some(self.ins.len() as u32);
        (self.loc, self.line) = (loc, line);
        Ok(())
    }

    fn new_label(&mut self, name: String) -> usize {
        self.labels.push(None);
        self.label_names.push(name);
        self.labels.len() - 1
    }

    /// The functions that every device has. Says whether this is one.
    fn system(&mut self, name: &str, args: &[Opd<'a>], rets: &[Opd<'a>]) -> R<bool> {
        let wanted = match name {
            "vprintf" => 2,
            "__assertfail" => 5,
            _ => return Ok(false),
        };
        if args.len() != wanted {
            return self.unknown("number of arguments");
        }
        let mut places = Vec::new();
        for (i, a) in args.iter().enumerate() {
            let a = match self.actual(a, None, false)? {
                Actual::Memory(a) => a,
                Actual::Register(r) => {
                    let bytes = if name == "__assertfail" && i == 2 { 4 } else { 8 };
                    let at = self.slot(8, 8);
                    self.local_store(at, bytes, r)?;
                    at
                }
            };
            places.push(a);
        }
        if name == "__assertfail" {
            self.push(Op::Assert([places[0], places[1], places[2], places[3]]))?;
            return Ok(true);
        }
        let mut back = None;
        let d = match rets.first() {
            None => None,
            Some(r) => Some(match self.actual(r, None, true)? {
                Actual::Memory(a) => a,
                Actual::Register(r) => {
                    let at = self.slot(8, 8);
                    back = Some((r, at));
                    at
                }
            }),
        };
        self.push(Op::Print { args: [places[0], places[1]], d })?;
        if let Some((r, at)) = back {
            self.local_load(r, at, 4)?;
        }
        Ok(true)
    }

    fn local_store(&mut self, at: u64, bytes: u8, r: Reg) -> R<()> {
        let none = Reg::W(NONE);
        let (bytes, n, s) = match r {
            Reg::Q(q) => (8, 2, [Reg::D(q), Reg::D(q + 1), none, none]),
            r => (bytes, 1, [r, none, none, none]),
        };
        let a = Addr { base: Base::None, off: at as i64 };
        self.push(Op::St { space: Space::Local, bytes, n, fl: MemFlags::default(), s, a })
    }

    fn local_load(&mut self, r: Reg, at: u64, bytes: u8) -> R<()> {
        let none = Reg::W(NONE);
        let (bytes, n, d) = match r {
            Reg::Q(q) => (8, 2, [Reg::D(q), Reg::D(q + 1), none, none]),
            r => (bytes, 1, [r, none, none, none]),
        };
        let a = Addr { base: Base::None, off: at as i64 };
        self.push(Op::Ld { space: Space::Local, bytes, n, ext: Ext::Zero, fl: MemFlags::default(), d, a })
    }

    fn expand(&mut self, f: &'o Func, args: &[Opd<'a>], rets: &[Opd<'a>]) -> R<()> {
        let mut scope = Scope::default();
        let mut back = Vec::new();
        for (v, o) in f.params.iter().zip(args) {
            let a = self.actual(o, Some(v), false)?;
            let sym = match (v.reg.is_some(), a) {
                (false, Actual::Memory(a)) => Sym::Local(a),
                (false, Actual::Register(r)) => {
                    let at = self.slot(v.size, v.align);
                    self.local_store(at, v.size.min(8) as u8, r)?;
                    Sym::Local(at)
                }
                (true, a) => {
                    let class = self.class_of(v)?;
                    let d = self.new_reg(class);
                    match a {
                        Actual::Register(r) => self.copy(d, r)?,
                        Actual::Memory(at) => self.local_load(d, at, v.size.min(8) as u8)?,
                    }
                    Sym::Reg(d)
                }
            };
            scope.syms.insert(v.name.clone(), sym);
        }
        for (v, o) in f.rets.iter().zip(rets) {
            let a = self.actual(o, Some(v), true)?;
            let sym = match (v.reg.is_some(), a) {
                (false, Actual::Memory(a)) => Sym::Local(a),
                (false, Actual::Register(_)) => Sym::Local(self.slot(v.size, v.align)),
                (true, _) => {
                    let class = self.class_of(v)?;
                    Sym::Reg(self.new_reg(class))
                }
            };
            back.push((v, sym, a));
            scope.syms.insert(v.name.clone(), sym);
        }
        let end = self.new_label(format!("the end of {}", f.name));
        self.func(f, scope, Some(end))?;
        self.labels[end] = Some(self.ins.len() as u32);
        for (v, sym, a) in back {
            match (sym, a) {
                (Sym::Reg(r), Actual::Register(d)) => self.copy(d, r)?,
                (Sym::Reg(r), Actual::Memory(at)) => self.local_store(at, v.size.min(8) as u8, r)?,
                (Sym::Local(at), Actual::Register(d)) => self.local_load(d, at, v.size.min(8) as u8)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A call through an address.
    fn indirect(&mut self, address: u32, args: &[Opd<'a>], rets: &[Opd<'a>], list: Option<&str>) -> R<()> {
        let o = self.o;
        let named = list.and_then(|l| self.scopes.iter().rev().find_map(|s| s.callees.get(l)).cloned());
        let fits = |f: &&'o Func| {
            !f.entry
                && f.has_body
                && f.params.len() == args.len()
                && f.rets.len() == rets.len()
                && match &named {
                    Some(n) => n.contains(&f.name),
                    None => o.addressed.contains(&f.name),
                }
        };
        let candidates: Vec<&'o Func> = o.funcs.iter().filter(fits).collect();
        let end = self.new_label("the end of a call through an address".into());
        for f in candidates {
            if self.calls.contains(&f.name.as_str()) {
                return self
                    .err(format!("'{}' may call itself through an address: recursion is not supported", f.name));
            }
            let Some(GlobalSym::Func(a)) = self.globals.get(&f.name).copied() else { continue };
            let next = self.new_label(format!("after {}", f.name));
            let Reg::P(p) = self.new_reg(Class::P) else {
                return self.err("no predicate");
            };
            self.scalar(&[Reg::P(p)], &[Reg::D(address)], move |s| [u64::from(s[0] == a), 0])?;
            self.guard = (p, true);
            self.push(Op::Bra { to: next as u32, rpc: PC_END })?;
            self.guard = (NONE, false);
            self.expand(f, args, rets)?;
            self.push(Op::Bra { to: end as u32, rpc: PC_END })?;
            self.labels[next] = Some(self.ins.len() as u32);
        }
        self.push(Op::Trap("call through an address that is of no function with these parameters"))?;
        self.labels[end] = Some(self.ins.len() as u32);
        Ok(())
    }
}
