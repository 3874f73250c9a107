//! From tokens to instructions: scopes, registers, operands, and one decoder per opcode.
//!
//! A modifier that a decoder does not consume, an operand of a form it does not expect and an opcode that is not listed are
//! errors. Calls of device functions are expanded in place, so that a kernel is one flat list.

use std::collections::HashMap;

use crate::alu::*;
use crate::error::LoadError;
use crate::ins::*;
use crate::mma::{Acc, El, Form};
use crate::ptx::*;

/// Where a module-level variable lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GlobalSym {
    Mem(u64),
    Shared { size: u64, align: u32, dynamic: bool },
}

#[derive(Clone, Copy, Debug)]
enum Sym {
    Reg(Reg),
    Label(usize),
    Local(u64),
    Shared(u64),
    Param(u64),
    DynShared,
    Mem(u64),
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    W,
    D,
    P,
}

#[derive(Default)]
struct Scope<'a> {
    ranges: Vec<(&'a str, Class, u64)>,
    syms: HashMap<String, Sym>,
    targets: HashMap<String, Vec<usize>>,
}

/// An operand as written.
#[derive(Clone, Debug)]
enum Opd<'a> {
    Word(&'a str, i64),
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
struct Mods<'a> {
    rest: Vec<&'a str>,
}
impl<'a> Mods<'a> {
    fn take(&mut self, m: &str) -> bool {
        match self.rest.iter().position(|x| *x == m) {
            Some(i) => {
                self.rest.remove(i);
                true
            }
            None => false,
        }
    }
    fn any(&mut self, of: &[&'static str]) -> Option<&'static str> {
        of.iter().copied().find(|o| self.take(o))
    }
    fn ty(&mut self) -> Option<Ty> {
        let i = self.rest.iter().position(|x| Ty::parse(x).is_some())?;
        Ty::parse(self.rest.remove(i))
    }
    fn rnd(&mut self) -> Option<Rnd> {
        Some(match self.any(&["rn", "rz", "rm", "rp"])? {
            "rn" => Rnd::Near,
            "rz" => Rnd::Zero,
            "rm" => Rnd::Down,
            _ => Rnd::Up,
        })
    }
}

pub(crate) struct Decoder<'o, 'a> {
    o: &'o Outline<'a>,
    globals: &'o HashMap<String, GlobalSym>,
    scopes: Vec<Scope<'a>>,
    ins: Vec<Ins>,
    labels: Vec<Option<u32>>,
    label_names: Vec<String>,
    opcodes: Vec<String>,
    opcode_ids: HashMap<String, u32>,
    n: [u32; 3],
    const_w: HashMap<Const, u32>,
    const_d: HashMap<Const, u32>,
    sregs: HashMap<Sreg, u32>,
    shared: u64,
    shared_syms: HashMap<String, u64>,
    dyn_align: u64,
    local: u64,
    local_align: u64,
    loc: Loc,
    line: u32,
    guard: (u32, bool),
    name: u32,
    ret_label: Option<usize>,
    depth: u32,
}

type R<T> = Result<T, LoadError>;

const MAX_INS: usize = 4_000_000;

fn align_up(x: u64, a: u64) -> u64 {
    x.div_ceil(a.max(1)) * a.max(1)
}

impl<'o, 'a> Decoder<'o, 'a> {
    pub fn kernel(o: &'o Outline<'a>, globals: &'o HashMap<String, GlobalSym>, f: &'o Func) -> R<Kernel> {
        let mut d = Self {
            o,
            globals,
            scopes: Vec::new(),
            ins: Vec::new(),
            labels: Vec::new(),
            label_names: Vec::new(),
            opcodes: Vec::new(),
            opcode_ids: HashMap::new(),
            n: [0; 3],
            const_w: HashMap::new(),
            const_d: HashMap::new(),
            sregs: HashMap::new(),
            shared: 0,
            shared_syms: HashMap::new(),
            dyn_align: 16,
            local: 0,
            local_align: 16,
            loc: Loc::default(),
            line: f.line,
            guard: (NONE, false),
            name: 0,
            ret_label: None,
            depth: 0,
        };
        let mut scope = Scope::default();
        let mut off = 0u64;
        let mut params = Vec::new();
        for p in &f.params {
            off = align_up(off, u64::from(p.align));
            scope.syms.insert(p.name.clone(), Sym::Param(off));
            params.push((off as u32, p.size as u32));
            off += p.size;
        }
        if off > 32764 {
            return Err(LoadError::new(f.line, "more parameters than a kernel can have"));
        }
        let done = d.func(f, scope, None);
        done.map_err(|mut e| {
            if e.source.is_none() && d.loc.line != 0 && e.ptx_line >= f.line {
                e.source = Some(loc_text(&o.files, d.loc));
            }
            e
        })?;
        d.finish(f, params, off as u32)
    }

    fn err<T>(&self, what: impl Into<String>) -> R<T> {
        Err(LoadError::new(self.line, what))
    }

    fn finish(mut self, f: &Func, params: Vec<(u32, u32)>, param_bytes: u32) -> R<Kernel> {
        self.name = self.intern("exit");
        self.guard = (NONE, false);
        self.push(Op::Exit)?;
        let mut where_to = Vec::with_capacity(self.labels.len());
        for (i, l) in self.labels.iter().enumerate() {
            match l {
                Some(pc) => where_to.push(*pc),
                None => {
                    return Err(LoadError::new(
                        f.line,
                        format!("label '{}' is used but not defined", self.label_names[i]),
                    ));
                }
            }
        }
        for i in &mut self.ins {
            match &mut i.op {
                Op::Bra { to, .. } => *to = where_to[*to as usize],
                Op::Brx { table, .. } => table.iter_mut().for_each(|t| *t = where_to[*t as usize]),
                _ => {}
            }
        }
        crate::cfg::reconvergence(&mut self.ins);
        let static_shared = self.shared as u32;
        let dyn_at = u64::from(SHARED_BASE) + align_up(self.shared, self.dyn_align);
        let value = |c: &Const| match c {
            Const::Val(v) => *v,
            Const::DynShared(o) => dyn_at.wrapping_add(*o as u64),
        };
        let const_w = self.const_w.iter().map(|(c, s)| (*s, value(c) as u32)).collect();
        let const_d = self.const_d.iter().map(|(c, s)| (*s, value(c))).collect();
        if self.local > 512 * 1024 {
            return Err(LoadError::new(f.line, "more local memory than a thread can have"));
        }
        Ok(Kernel {
            name: f.name.clone(),
            watch: watches(&self.ins, &self.opcodes),
            ins: self.ins,
            opcodes: self.opcodes,
            n_w: self.n[0],
            n_d: self.n[1],
            n_p: self.n[2],
            const_w,
            const_d,
            sregs: self.sregs.into_iter().collect(),
            static_shared: align_up(u64::from(static_shared), self.dyn_align) as u32,
            local_bytes: align_up(self.local, 16) as u32,
            param_bytes,
            params,
            max_threads: f.max_threads,
            cluster: f.cluster,
            explicit_cluster: f.explicit_cluster,
            max_cluster: f.max_cluster,
        })
    }

    fn intern(&mut self, s: &str) -> u32 {
        if let Some(i) = self.opcode_ids.get(s) {
            return *i;
        }
        let i = self.opcodes.len() as u32;
        self.opcodes.push(s.to_owned());
        self.opcode_ids.insert(s.to_owned(), i);
        i
    }

    fn push(&mut self, op: Op) -> R<()> {
        if self.ins.len() >= MAX_INS {
            return self.err("the kernel is too long once its calls are expanded");
        }
        self.ins.push(Ins {
            op,
            guard: self.guard.0,
            guard_not: self.guard.1,
            loc: self.loc,
            ptx_line: self.line,
            name: self.name,
        });
        Ok(())
    }

    fn new_reg(&mut self, c: Class) -> Reg {
        let i = c as usize;
        let n = self.n[i];
        self.n[i] += 1;
        match c {
            Class::W => Reg::W(n),
            Class::D => Reg::D(n),
            Class::P => Reg::P(n),
        }
    }

    fn const_w(&mut self, c: Const) -> u32 {
        let n = &mut self.n[0];
        *self.const_w.entry(c).or_insert_with(|| {
            *n += 1;
            *n - 1
        })
    }
    fn const_d(&mut self, c: Const) -> u32 {
        let n = &mut self.n[1];
        *self.const_d.entry(c).or_insert_with(|| {
            *n += 1;
            *n - 1
        })
    }
    fn sreg(&mut self, s: Sreg) -> u32 {
        let n = &mut self.n[0];
        *self.sregs.entry(s).or_insert_with(|| {
            *n += 1;
            *n - 1
        })
    }

    // ---- functions, scopes and statements

    fn func(&mut self, f: &'o Func, scope: Scope<'a>, ret: Option<usize>) -> R<()> {
        if !f.has_body {
            return self.err(format!("function '{}' has no body", f.name));
        }
        if self.depth > 24 {
            return self.err(format!("'{}' is called too deeply: recursion is not supported", f.name));
        }
        self.depth += 1;
        let outer = std::mem::take(&mut self.scopes);
        let outer_ret = std::mem::replace(&mut self.ret_label, ret);
        self.scopes.push(scope);
        self.scope_enter(f.body.clone())?;
        let mut c = Cur { toks: &self.o.toks[..f.body.end], at: f.body.start };
        while c.peek().is_some() {
            self.statement(&mut c)?;
        }
        self.scopes = outer;
        self.ret_label = outer_ret;
        self.depth -= 1;
        Ok(())
    }

    /// Opens a scope and finds the labels that stand in it, since a branch can go forward.
    fn scope_enter(&mut self, body: std::ops::Range<usize>) -> R<()> {
        let o = self.o;
        let mut s = Scope::default();
        let mut depth = 0;
        for i in body.clone() {
            match &o.toks[i].tok {
                Tok::P(b'{') => depth += 1,
                Tok::P(b'}') => depth -= 1,
                Tok::Word(w) if depth == 0 && i + 1 < body.end && o.toks[i + 1].tok == Tok::P(b':') => {
                    let id = self.labels.len();
                    self.labels.push(None);
                    self.label_names.push((*w).to_owned());
                    if s.syms.insert((*w).to_owned(), Sym::Label(id)).is_some() {
                        return Err(LoadError::new(o.toks[i].line, format!("label '{w}' stands twice in one scope")));
                    }
                }
                _ => {}
            }
        }
        self.scopes.push(s);
        Ok(())
    }

    fn lookup(&mut self, name: &str) -> Option<Sym> {
        let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (prefix, number) = name.split_at(digits);
        let number: Option<u64> = number.parse().ok();
        for i in (0..self.scopes.len()).rev() {
            if let Some(s) = self.scopes[i].syms.get(name) {
                return Some(*s);
            }
            if let Some(n) = number
                && let Some((_, class, _)) =
                    self.scopes[i].ranges.iter().find(|(p, _, count)| *p == prefix && n < *count)
            {
                let class = *class;
                let r = Sym::Reg(self.new_reg(class));
                self.scopes[i].syms.insert(name.to_owned(), r);
                return Some(r);
            }
        }
        match self.globals.get(name)? {
            GlobalSym::Mem(a) => Some(Sym::Mem(*a)),
            GlobalSym::Shared { size, align, dynamic } => {
                if *dynamic {
                    self.dyn_align = self.dyn_align.max(u64::from(*align));
                    return Some(Sym::DynShared);
                }
                if let Some(o) = self.shared_syms.get(name) {
                    return Some(Sym::Shared(*o));
                }
                let at = align_up(self.shared, u64::from(*align));
                self.shared = at + size;
                self.shared_syms.insert(name.to_owned(), at);
                Some(Sym::Shared(at))
            }
        }
    }

    fn label(&mut self, name: &str) -> R<u32> {
        match self.lookup(name) {
            Some(Sym::Label(i)) => Ok(i as u32),
            _ => self.err(format!("no label '{name}'")),
        }
    }

    fn statement(&mut self, c: &mut Cur<'o, 'a>) -> R<()> {
        self.line = c.line();
        match c.peek() {
            None => Ok(()),
            Some(Tok::Loc(l)) => {
                self.loc = *l;
                c.at += 1;
                Ok(())
            }
            Some(Tok::P(b';')) => {
                c.at += 1;
                Ok(())
            }
            Some(Tok::P(b'{')) => {
                c.at += 1;
                let start = c.at;
                let mut probe = Cur { toks: c.toks, at: c.at };
                let end = probe.skip_block()?;
                self.scope_enter(start..end)?;
                let mut inner = Cur { toks: &self.o.toks[..end], at: start };
                while inner.peek().is_some() {
                    self.statement(&mut inner)?;
                }
                self.scopes.pop();
                c.at = end + 1;
                Ok(())
            }
            Some(Tok::Word(w)) if matches!(c.toks.get(c.at + 1).map(|t| &t.tok), Some(Tok::P(b':'))) => {
                let id = self.label(w)? as usize;
                self.labels[id] = Some(self.ins.len() as u32);
                c.at += 2;
                // `name: .branchtargets a, b;` is a table and not a place.
                if c.eat_word(".branchtargets") {
                    let mut v = Vec::new();
                    loop {
                        let l = c.word()?;
                        v.push(self.label(l)? as usize);
                        if !c.eat(b',') {
                            break;
                        }
                    }
                    c.expect(b';')?;
                    if let Some(s) = self.scopes.last_mut() {
                        s.targets.insert((*w).to_owned(), v);
                    }
                }
                Ok(())
            }
            Some(Tok::Word(w)) if w.starts_with('.') => {
                c.at += 1;
                self.directive(w, c)
            }
            _ => self.instruction(c),
        }
    }

    fn directive(&mut self, w: &str, c: &mut Cur<'o, 'a>) -> R<()> {
        match w {
            ".reg" => {
                let t = c.word()?;
                let class = match t {
                    ".pred" => Class::P,
                    t => match type_size(t) {
                        Some(8) => Class::D,
                        Some(1 | 2 | 4) => Class::W,
                        _ => return self.err(format!("registers of type '{t}'")),
                    },
                };
                loop {
                    let name = c.word()?;
                    if c.eat(b'<') {
                        let n = c.int()?;
                        c.expect(b'>')?;
                        let s = self.scopes.last_mut().ok_or_else(|| LoadError::new(0, "no scope"))?;
                        s.ranges.push((name, class, u64::try_from(n).unwrap_or(0)));
                    } else {
                        let r = self.new_reg(class);
                        if let Some(s) = self.scopes.last_mut() {
                            s.syms.insert(name.to_owned(), Sym::Reg(r));
                        }
                    }
                    if !c.eat(b',') {
                        break;
                    }
                }
                c.expect(b';')
            }
            ".shared" | ".local" | ".param" | ".global" | ".const" => {
                if matches!(w, ".global" | ".const") {
                    return self.err("a global variable inside a function");
                }
                loop {
                    let v = parse_var(c, VarSpace::Local, false)?;
                    let sym = if w == ".shared" {
                        let at = align_up(self.shared, u64::from(v.align));
                        self.shared = at + v.size;
                        if self.shared > 1 << 24 {
                            return self.err("too much shared memory");
                        }
                        Sym::Shared(at)
                    } else {
                        let at = align_up(self.local, u64::from(v.align));
                        self.local_align = self.local_align.max(u64::from(v.align));
                        self.local = at + v.size;
                        Sym::Local(at)
                    };
                    if let Some(s) = self.scopes.last_mut() {
                        s.syms.insert(v.name, sym);
                    }
                    if !c.eat(b',') {
                        break;
                    }
                }
                c.expect(b';')
            }
            ".pragma" => {
                c.next();
                c.expect(b';')
            }
            w => self.err(format!("directive '{w}' in a function")),
        }
    }

    fn operand(&mut self, c: &mut Cur<'o, 'a>) -> R<Opd<'a>> {
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

    fn instruction(&mut self, c: &mut Cur<'o, 'a>) -> R<()> {
        self.guard = (NONE, false);
        if c.eat(b'@') {
            let not = c.eat(b'!');
            let w = c.word()?;
            match self.lookup(w) {
                Some(Sym::Reg(Reg::P(p))) => self.guard = (p, not),
                _ => return self.err(format!("'{w}' is not a predicate")),
            }
        }
        let opcode = c.word()?;
        let opcode_line = self.line;
        self.name = self.intern(opcode);
        let mut ops = Vec::new();
        if !c.eat(b';') {
            loop {
                ops.push(self.operand(c)?);
                if c.eat(b';') {
                    break;
                }
                // `call (r), f, (a);` separates with commas; so does everything else.
                if !c.eat(b',') {
                    return self.err(format!("',' or ';' expected, {} found", c.found()));
                }
            }
        }
        self.line = opcode_line;
        let mut parts = opcode.split('.');
        let base = parts.next().unwrap_or("");
        let mut m = Mods { rest: parts.filter(|p| !p.is_empty()).collect() };
        let r = self.decode(base, &mut m, &ops);
        r.map_err(|mut e| {
            if !e.message.contains(opcode) {
                e.message = format!("{opcode}: {}", e.message);
            }
            e
        })?;
        if !m.rest.is_empty() {
            return self.err(format!("{opcode}: unsupported modifier '.{}'", m.rest.join(".")));
        }
        Ok(())
    }

    // ---- operands as registers

    fn sreg_of(&mut self, w: &str) -> Option<u32> {
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
            ("WARP_SZ", None) => Sreg::WarpSize,
            _ => return None,
        };
        Some(self.sreg(s))
    }

    /// An address that is known at load time, as a constant.
    fn sym_const(&mut self, w: &str, off: i64) -> Option<Const> {
        let v = |base: u64| Const::Val(base.wrapping_add(off as u64));
        Some(match self.lookup(w)? {
            Sym::Mem(a) => v(a),
            Sym::Shared(o) => v(o + u64::from(SHARED_BASE)),
            Sym::Local(o) => v(o),
            Sym::Param(o) => v(PARAM_WINDOW + o),
            Sym::DynShared => Const::DynShared(off),
            Sym::Reg(_) | Sym::Label(_) => return None,
        })
    }

    fn int_of(o: &Opd<'_>, ty: Option<Ty>) -> Option<u64> {
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
    fn w(&mut self, o: &Opd<'a>, ty: Ty) -> R<u32> {
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
    fn d(&mut self, o: &Opd<'a>, ty: Ty) -> R<u32> {
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

    fn reg(&mut self, o: &Opd<'a>) -> R<Reg> {
        match o {
            Opd::Word(w, 0) => match self.lookup(w) {
                Some(Sym::Reg(r)) => Ok(r),
                _ => self.err(format!("'{w}' is not a register")),
            },
            _ => self.err("a register expected"),
        }
    }
    /// A source of whatever width its register has; constants take the type's.
    fn src(&mut self, o: &Opd<'a>, ty: Ty) -> R<Reg> {
        if let Opd::Word(w, 0) = o
            && let Some(Sym::Reg(r)) = self.lookup(w)
        {
            return Ok(r);
        }
        Ok(if ty.is64() { Reg::D(self.d(o, ty)?) } else { Reg::W(self.w(o, ty)?) })
    }
    fn is_sink(o: &Opd<'_>) -> bool {
        matches!(o, Opd::Word("_", 0))
    }
    fn dw(&mut self, o: &Opd<'a>) -> R<u32> {
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
    fn dd(&mut self, o: &Opd<'a>) -> R<u32> {
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
    fn dp(&mut self, o: &Opd<'a>) -> R<u32> {
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
    fn p(&mut self, o: &Opd<'a>) -> R<(u32, bool)> {
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
    fn dst(&mut self, o: &Opd<'a>, ty: Ty) -> R<Reg> {
        Ok(if ty.is64() { Reg::D(self.dd(o)?) } else { Reg::W(self.dw(o)?) })
    }

    fn addr(&mut self, o: &Opd<'a>, space: Space) -> R<(Addr, Space)> {
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

    fn space(m: &mut Mods<'a>) -> Space {
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

    fn list<const N: usize>(&mut self, o: &Opd<'a>, n: usize, ty: Ty, dest: bool) -> R<[u32; N]> {
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

    fn need<'x>(&self, ops: &'x [Opd<'a>], n: usize) -> R<&'x [Opd<'a>]> {
        if ops.len() == n { Ok(ops) } else { self.err(format!("{n} operands expected, {} given", ops.len())) }
    }

    fn target_has(&self, base: &str, m: &Mods<'a>) -> R<()> {
        let has = |x: &str| m.rest.contains(&x);
        match base {
            "wgmma" | "setmaxnreg" => self.requires(90, true),
            "elect" | "stmatrix" => self.requires(90, false),
            _ if has("shared::cluster") => self.requires(90, false),
            "cp" if has("bulk") => self.requires(90, false),
            "fence" if has("proxy") || has("mbarrier_init") => self.requires(90, false),
            "mbarrier" if has("try_wait") || has("expect_tx") || has("complete_tx") => self.requires(90, false),
            "mma" | "cp" | "mbarrier" | "redux" => self.requires(80, false),
            "wmma" | "ldmatrix" | "movmatrix" => self.requires(75, false),
            _ => Ok(()),
        }
    }

    /// Instructions are refused for targets that do not have them, as the assembler refuses them.
    fn requires(&self, sm: u32, specific: bool) -> R<()> {
        let t = self.o.target.trim_start_matches("sm_");
        let number: u32 = t.trim_end_matches(['a', 'f']).parse().unwrap_or(0);
        if number < sm || (specific && (number != sm || !t.ends_with('a'))) {
            let a = if specific { "a" } else { "" };
            return self.err(format!("needs sm_{sm}{a}, the target is {}", self.o.target));
        }
        Ok(())
    }

    fn unknown<T>(&self, what: &str) -> R<T> {
        self.err(format!("unsupported form ({what})"))
    }

    // ---- opcodes

    fn decode(&mut self, base: &'a str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        self.target_has(base, m)?;
        match base {
            "add" | "sub" | "mul" | "mul24" | "div" | "rem" | "min" | "max" | "and" | "or" | "xor" | "shl" | "shr"
            | "copysign" => self.two(base, m, ops),
            "neg" | "abs" | "not" | "cnot" | "popc" | "clz" | "brev" | "bfind" | "sqrt" | "rsqrt" | "rcp" | "ex2"
            | "lg2" | "sin" | "cos" | "tanh" => self.one(base, m, ops),
            "mad" | "mad24" | "fma" | "sad" | "bfe" | "shf" | "prmt" | "dp4a" => self.three(base, m, ops),
            "lop3" => {
                m.take("b32");
                let o = self.need(ops, 5)?;
                let Opd::Int(lut) = o[4] else {
                    return self.unknown("the table is not a number");
                };
                let (d, a, b, c) =
                    (self.dw(&o[0])?, self.w(&o[1], Ty::B32)?, self.w(&o[2], Ty::B32)?, self.w(&o[3], Ty::B32)?);
                self.push(Op::Lop3 { d, a, b, c, lut: lut as u8 })
            }
            "bfi" => {
                let ty = m.ty();
                let o = self.need(ops, 5)?;
                let (c, e) = (self.w(&o[3], Ty::U32)?, self.w(&o[4], Ty::U32)?);
                match ty {
                    Some(Ty::B32) => {
                        let (d, a, b) = (self.dw(&o[0])?, self.w(&o[1], Ty::B32)?, self.w(&o[2], Ty::B32)?);
                        self.push(Op::Bfi32 { d, a, b, c, e })
                    }
                    Some(Ty::B64) => {
                        let (d, a, b) = (self.dd(&o[0])?, self.d(&o[1], Ty::B64)?, self.d(&o[2], Ty::B64)?);
                        self.push(Op::Bfi64 { d, a, b, c, e })
                    }
                    _ => self.unknown("type"),
                }
            }
            "setp" | "set" => self.setp(base, m, ops),
            "selp" => {
                let Some(ty) = m.ty() else {
                    return self.unknown("no type");
                };
                let o = self.need(ops, 4)?;
                let (p, not) = self.p(&o[3])?;
                if ty.is64() {
                    let (d, a, b) = (self.dd(&o[0])?, self.d(&o[1], ty)?, self.d(&o[2], ty)?);
                    self.push(Op::SelD { d, a, b, p, not })
                } else {
                    let (d, a, b) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?);
                    self.push(Op::SelW { d, a, b, p, not })
                }
            }
            "slct" => {
                let ftz = m.take("ftz");
                let (t, by) = (m.ty(), m.ty());
                let o = self.need(ops, 4)?;
                let (Some(t), Some(by @ (Ty::S32 | Ty::F32))) = (t, by) else {
                    return self.unknown("types");
                };
                if t.is64() || ftz {
                    return self.unknown("64 bits or ftz");
                }
                let (d, a, b, c) = (self.dw(&o[0])?, self.w(&o[1], t)?, self.w(&o[2], t)?, self.w(&o[3], by)?);
                let f: FnW3 = if by == Ty::S32 {
                    w3!(|a, b, c| if c as i32 >= 0 { a } else { b })
                } else {
                    w3!(|a, b, c| if f32::from_bits(c) >= 0.0 { a } else { b })
                };
                self.push(Op::W3 { f, d, a, b, c })
            }
            "mov" => self.mov(m, ops),
            "cvt" => self.cvt(m, ops),
            "cvta" => self.cvta(m, ops),
            "ld" | "ldu" => self.ld(m, ops),
            "st" => self.st(m, ops),
            "atom" | "red" => self.atom(base, m, ops),
            "prefetch" | "prefetchu" | "discard" | "applypriority" => {
                m.any(&["global", "local"]);
                m.any(&["L1", "L2", "L2::evict_last", "L2::evict_normal"]);
                if m.take("tensormap") {
                    m.any(&["param", "const"]);
                }
                self.push(Op::Prefetch)
            }
            "createpolicy" => {
                m.any(&["fractional", "range"]);
                while m
                    .any(&["L2::evict_last", "L2::evict_normal", "L2::evict_first", "L2::evict_unchanged", "global"])
                    .is_some()
                {}
                m.take("b64");
                let Some(o) = ops.first() else {
                    return self.unknown("no operand");
                };
                let d = self.dd(o)?;
                let a = self.const_d(Const::Val(0));
                self.push(Op::D1 { f: d1!(|a| a), d, a })
            }
            "cp" => self.cp(m, ops),
            "ldmatrix" | "stmatrix" => self.ldmatrix(base, m, ops),
            "movmatrix" => {
                for x in ["sync", "aligned", "trans", "m8n8", "b16"] {
                    if !m.take(x) {
                        return self.unknown("modifiers");
                    }
                }
                let o = self.need(ops, 2)?;
                let (d, a) = (self.dw(&o[0])?, self.w(&o[1], Ty::B32)?);
                self.push(Op::Movmatrix { d, a })
            }
            "mma" => self.mma(m, ops),
            "wmma" => self.wmma(m, ops),
            "vote" => {
                m.take("sync");
                let op = match m.any(&["all", "any", "uni", "ballot"]) {
                    Some("all") => VoteOp::All,
                    Some("any") => VoteOp::Any,
                    Some("uni") => VoteOp::Uni,
                    Some(_) => VoteOp::Ballot,
                    None => return self.unknown("mode"),
                };
                m.any(&["pred", "b32"]);
                let o = self.need(ops, 3)?;
                let d = if op == VoteOp::Ballot { Reg::W(self.dw(&o[0])?) } else { Reg::P(self.dp(&o[0])?) };
                let (p, not) = self.p(&o[1])?;
                let mask = self.w(&o[2], Ty::B32)?;
                self.push(Op::Vote { op, d, p, not, mask })
            }
            "shfl" => {
                m.take("sync");
                let op = match m.any(&["up", "down", "bfly", "idx"]) {
                    Some("up") => ShflOp::Up,
                    Some("down") => ShflOp::Down,
                    Some("bfly") => ShflOp::Bfly,
                    Some(_) => ShflOp::Idx,
                    None => return self.unknown("mode"),
                };
                m.take("b32");
                let o = self.need(ops, 5)?;
                let (d, p) = match &o[0] {
                    Opd::Pair(d, p) => (self.dw(d)?, self.dp(p)?),
                    d => (self.dw(d)?, NONE),
                };
                let (a, b, c, mask) = (
                    self.w(&o[1], Ty::B32)?,
                    self.w(&o[2], Ty::B32)?,
                    self.w(&o[3], Ty::B32)?,
                    self.w(&o[4], Ty::B32)?,
                );
                self.push(Op::Shfl { op, d, p, a, b, c, mask })
            }
            "match" => {
                let all = m.any(&["any", "all"]) == Some("all");
                m.take("sync");
                let wide = m.any(&["b32", "b64"]) == Some("b64");
                let o = self.need(ops, 3)?;
                let (d, p) = match &o[0] {
                    Opd::Pair(d, p) => (self.dw(d)?, self.dp(p)?),
                    d => (self.dw(d)?, NONE),
                };
                let a = if wide { self.d(&o[1], Ty::B64)? } else { self.w(&o[1], Ty::B32)? };
                let mask = self.w(&o[2], Ty::B32)?;
                self.push(Op::Match { all, wide, d, p, a, mask })
            }
            "redux" => {
                m.take("sync");
                let what = m.any(&["add", "min", "max", "and", "or", "xor"]);
                let op = match (what, m.ty()) {
                    (Some("add"), Some(Ty::U32 | Ty::S32)) => ReduxOp::AddU,
                    (Some("min"), Some(Ty::U32)) => ReduxOp::MinU,
                    (Some("max"), Some(Ty::U32)) => ReduxOp::MaxU,
                    (Some("min"), Some(Ty::S32)) => ReduxOp::MinS,
                    (Some("max"), Some(Ty::S32)) => ReduxOp::MaxS,
                    (Some("and"), Some(Ty::B32)) => ReduxOp::And,
                    (Some("or"), Some(Ty::B32)) => ReduxOp::Or,
                    (Some("xor"), Some(Ty::B32)) => ReduxOp::Xor,
                    _ => return self.unknown("operation"),
                };
                let o = self.need(ops, 3)?;
                let (d, a, mask) = (self.dw(&o[0])?, self.w(&o[1], Ty::B32)?, self.w(&o[2], Ty::B32)?);
                self.push(Op::Redux { op, d, a, mask })
            }
            "activemask" => {
                m.take("b32");
                let o = self.need(ops, 1)?;
                let d = self.dw(&o[0])?;
                self.push(Op::Activemask { d })
            }
            "elect" => {
                m.take("sync");
                let o = self.need(ops, 2)?;
                let (d, p) = match &o[0] {
                    Opd::Pair(d, p) => (if Self::is_sink(d) { NONE } else { self.dw(d)? }, self.dp(p)?),
                    _ => return self.unknown("a pair expected"),
                };
                let mask = self.w(&o[1], Ty::B32)?;
                self.push(Op::Elect { d, p, mask })
            }
            "bar" | "barrier" => self.bar(base, m, ops),
            "mbarrier" => self.mbarrier(m, ops),
            "wgmma" => self.wgmma(m, ops),
            "setmaxnreg" => {
                m.any(&["inc", "dec"]);
                if !m.take("sync") | !m.take("aligned") | !m.take("u32") {
                    return self.unknown("modifiers");
                }
                self.need(ops, 1)?;
                self.push(Op::SetMaxNReg)
            }
            "fence" if m.take("proxy") => {
                if m.take("async") || m.take("async::generic") {
                    m.any(&["global", "shared::cta", "shared::cluster"]);
                    return self.push(Op::FenceAsync);
                }
                self.unknown("proxy")
            }
            "fence" if m.take("mbarrier_init") => {
                if !m.take("release") | !m.take("cluster") {
                    return self.unknown("modifiers");
                }
                self.push(Op::Fence { wide: true })
            }
            "membar" | "fence" => {
                let scope = m.any(&["cta", "cluster", "gl", "gpu", "sys"]);
                m.any(&["sc", "acq_rel", "acquire", "release"]);
                if scope.is_none() {
                    return self.unknown("scope");
                }
                self.push(Op::Fence { wide: scope != Some("cta") })
            }
            "mapa" | "getctarank" => {
                self.requires(90, false)?;
                let window = m.take("shared::cluster");
                let Some(ty) = m.ty().filter(|t| matches!(t, Ty::U32 | Ty::U64)) else {
                    return self.unknown("type");
                };
                let wide = ty.is64();
                if !window && !wide {
                    return self.unknown("a generic address of 32 bits");
                }
                if base == "getctarank" {
                    // The type is that of the address; the rank has 32 bits.
                    let o = self.need(ops, 2)?;
                    let d = self.dw(&o[0])?;
                    let a = self.src(&o[1], ty)?;
                    return self.push(Op::Ctarank { d, a });
                }
                let o = self.need(ops, 3)?;
                let (d, a) = (self.dst(&o[0], ty)?, self.src(&o[1], ty)?);
                let rank = self.w(&o[2], Ty::U32)?;
                self.push(Op::Mapa { d, a, rank })
            }
            "griddepcontrol" => {
                m.any(&["launch_dependents", "wait"]);
                self.push(Op::Nop)
            }
            "nanosleep" => {
                m.take("u32");
                self.push(Op::Nop)
            }
            "pmevent" => self.push(Op::Nop),
            "bra" => {
                m.take("uni");
                let o = self.need(ops, 1)?;
                let Opd::Word(w, 0) = &o[0] else {
                    return self.unknown("a label expected");
                };
                let to = self.label(w)?;
                self.push(Op::Bra { to, rpc: PC_END })
            }
            "brx" => {
                m.take("idx");
                m.take("uni");
                let o = self.need(ops, 2)?;
                let index = self.w(&o[0], Ty::U32)?;
                let Opd::Word(w, 0) = &o[1] else {
                    return self.unknown("a table expected");
                };
                let Some(t) = self.scopes.iter().rev().find_map(|s| s.targets.get(*w)).cloned() else {
                    return self.err(format!("no table '{w}'"));
                };
                self.push(Op::Brx { index, table: t.iter().map(|x| *x as u32).collect(), rpc: PC_END })
            }
            "call" => {
                m.take("uni");
                self.call(ops)
            }
            "ret" => {
                m.take("uni");
                match self.ret_label {
                    Some(l) => self.push(Op::Bra { to: l as u32, rpc: PC_END }),
                    None => self.push(Op::Exit),
                }
            }
            "exit" => self.push(Op::Exit),
            "trap" => self.push(Op::Trap("trap instruction")),
            "brkpt" => self.push(Op::Trap("breakpoint instruction")),
            _ => self.err(format!("unknown opcode '{base}'")),
        }
    }

    fn two(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    /// A predicate source in a register that is not negated.
    fn plain_p(&mut self, o: &Opd<'a>) -> R<u32> {
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

    fn one(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn three(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn setp(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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
        let dt = if base == "set" { m.ty() } else { None };
        let (Some(cmp), Some(ty)) = (cmp, m.ty()) else {
            return self.unknown("modifiers");
        };
        let o = self.need(ops, if bool_op.is_some() { 4 } else { 3 })?;
        if base == "set" {
            let yes = match dt {
                Some(Ty::U32 | Ty::S32) => u32::MAX,
                Some(Ty::F32) => 0x3f80_0000,
                _ => return self.unknown("result type"),
            };
            let Some(f) = cmp_w(cmp, ty) else {
                return self.unknown("type");
            };
            if bool_op.is_some() || ftz {
                return self.unknown("combination");
            }
            let (d, a, b) = (self.dw(&o[0])?, self.w(&o[1], ty)?, self.w(&o[2], ty)?);
            return self.push(Op::SetW { f, d, a, b, yes });
        }
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

    fn mov(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn cvt(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let int_rnd = m.any(&["rni", "rzi", "rmi", "rpi", "rna"]);
        let rnd = m.rnd();
        let (ftz, sat, relu) = (m.take("ftz"), m.take("sat"), m.take("relu"));
        m.take("pack");
        let (Some(dst), Some(src)) = (m.ty(), m.ty()) else {
            return self.unknown("types");
        };
        if matches!(dst, Ty::F16x2 | Ty::BF16x2) && src == Ty::F32 {
            let o = self.need(ops, 3)?;
            let (d, hi, lo) = (self.dw(&o[0])?, self.w(&o[1], Ty::F32)?, self.w(&o[2], Ty::F32)?);
            if sat || int_rnd.is_some() || !matches!(rnd, Some(Rnd::Near | Rnd::Zero)) {
                return self.unknown("rounding");
            }
            return self.push(Op::CvtPack { d, hi, lo, bf: dst == Ty::BF16x2, rnd: rnd.unwrap_or(Rnd::Near), relu });
        }
        if matches!(dst, Ty::F16x2 | Ty::BF16x2 | Ty::Pred)
            || matches!(src, Ty::F16x2 | Ty::BF16x2 | Ty::Pred)
            || (relu && !matches!(dst, Ty::F16 | Ty::BF16))
        {
            return self.unknown("types");
        }
        let o = self.need(ops, 2)?;
        // A register may be wider than the type it is read or written as.
        let a = self.src(&o[1], src)?;
        let d = self.reg(&o[0])?;
        if matches!(a, Reg::P(_))
            || matches!(d, Reg::P(_))
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
        if src.float() && !dst.float() && !to_int {
            return self.unknown("a conversion to an integer without .rni, .rzi, .rmi or .rpi");
        }
        let rnd = match int_rnd {
            Some("rni") => Rnd::Near,
            Some("rzi") => Rnd::Zero,
            Some("rmi") => Rnd::Down,
            Some("rpi") => Rnd::Up,
            Some(_) => Rnd::Away,
            None => rnd.unwrap_or(Rnd::Near),
        };
        self.push(Op::Cvt { dst, src, rnd, to_int, sat, ftz, relu, d, a })
    }

    fn cvta(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn mem_mods(&mut self, m: &mut Mods<'a>) -> R<MemFlags> {
        let mut fl = MemFlags::default();
        if m.take("volatile") {
            fl.strong = true;
        }
        if m.take("relaxed") || m.take("mmio") {
            fl.strong = true;
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
        m.any(&["cta", "cluster", "gpu", "sys"]);
        fl.nc = m.take("nc");
        m.any(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
        m.any(&["L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate"]);
        m.any(&["L2::evict_normal", "L2::evict_first", "L2::evict_last"]);
        m.any(&["L2::64B", "L2::128B", "L2::256B"]);
        Ok(fl)
    }

    fn vec_regs(&mut self, o: &Opd<'a>, n: usize, ty: Ty, dest: bool) -> R<[Reg; 4]> {
        let one = |s: &mut Self, x: &Opd<'a>| -> R<Reg> {
            let r = if dest { if Self::is_sink(x) { s.dst(x, ty)? } else { s.reg(x)? } } else { s.src(x, ty)? };
            if matches!(r, Reg::P(_)) || (ty.is64() && !matches!(r, Reg::D(_))) {
                return s.unknown("a register narrower than the access");
            }
            Ok(r)
        };
        let mut out = [Reg::W(NONE); 4];
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

    fn ld(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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
        self.push(Op::Ld { space, bytes: ty.bytes() as u8, n: n as u8, ext, fl, d, a })
    }

    fn st(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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
        if n * ty.bytes() > 16 || ty == Ty::Pred {
            return self.unknown("more than 16 bytes");
        }
        let (a, space) = self.addr(&o[0], space)?;
        if matches!(space, Space::Const) || (space == Space::Param) {
            return self.unknown("a store to a read-only space");
        }
        let s = self.vec_regs(&o[1], n as usize, ty, false)?;
        self.push(Op::St { space, bytes: ty.bytes() as u8, n: n as u8, fl, s, a })
    }

    fn atom(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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
        let Some(ty) = m.ty() else {
            return self.unknown("no type");
        };
        if ty == Ty::Pred
            || ty.bytes() == 1
            || !matches!(space, Space::Global | Space::Shared | Space::Cluster | Space::Generic)
        {
            return self.unknown("type or space");
        }
        let float_ok = op == AtomOp::Add || !(ty.float() || matches!(ty, Ty::F16x2 | Ty::BF16x2));
        if !float_ok {
            return self.unknown("operation on floats");
        }
        let is_red = base == "red";
        let k = usize::from(!is_red);
        let n = k + 2 + usize::from(op == AtomOp::Cas);
        let o = self.need(ops, n)?;
        let d = if is_red || Self::is_sink(&o[0]) { None } else { Some(self.dst(&o[0], ty)?) };
        let (a, space) = self.addr(&o[k], space)?;
        let one = |s: &mut Self, x: &Opd<'a>| -> R<Reg> {
            Ok(if ty.is64() { Reg::D(s.d(x, ty)?) } else { Reg::W(s.w(x, ty)?) })
        };
        let b = one(self, &o[k + 1])?;
        let c = if op == AtomOp::Cas { Some(one(self, &o[k + 2])?) } else { None };
        self.push(Op::Atom { space, op, ty, fl, d, a, b, c })
    }

    fn cp(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if !m.take("async") {
            return self.unknown("only cp.async");
        }
        if m.take("bulk") {
            return self.bulk(m, ops);
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

    fn mbarrier(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let what = m.any(&["init", "inval", "arrive", "expect_tx", "complete_tx", "test_wait", "try_wait"]);
        let expect = what == Some("arrive") && m.take("expect_tx");
        let parity = m.take("parity");
        m.any(&["release", "acquire", "relaxed"]);
        m.any(&["cta", "cluster"]);
        // Without a space the address is generic, and may as well point into another block.
        let remote = m.take("shared::cluster") || !(m.take("shared::cta") || m.take("shared"));
        if !m.take("b64") {
            return self.unknown("modifiers");
        }
        let one = |k: usize| ops.get(k);
        let bad = || LoadError::new(0, "unsupported form (number of operands)");
        match what {
            Some("test_wait" | "try_wait") => {
                if !(3..=4).contains(&ops.len()) || (ops.len() == 4 && what == Some("test_wait")) {
                    return self.unknown("number of operands");
                }
                let p = self.dp(&ops[0])?;
                let (a, _) = self.addr(&ops[1], Space::Shared)?;
                let v = if parity { Reg::W(self.w(&ops[2], Ty::U32)?) } else { Reg::D(self.d(&ops[2], Ty::B64)?) };
                self.push(Op::MbarWait { a, parity, blocking: what == Some("try_wait"), p, v })
            }
            Some(what) => {
                if parity {
                    return self.unknown("parity");
                }
                // Only an arrival can have a result, and then it comes first.
                let has_d = what == "arrive" && !matches!(one(0), Some(Opd::Mem(..)));
                let k = usize::from(has_d);
                let d = match (has_d, one(0)) {
                    (true, Some(o)) if !Self::is_sink(o) => Some(Reg::D(self.dd(o)?)),
                    _ => None,
                };
                let (a, _) = self.addr(one(k).ok_or_else(bad)?, Space::Shared)?;
                let arg = match one(k + 1) {
                    Some(o) => self.w(o, Ty::U32)?,
                    None => NONE,
                };
                if ops.len() > k + 2 {
                    return self.unknown("number of operands");
                }
                let (kind, count, tx) = match what {
                    "init" => (MbarOp::Init, arg, NONE),
                    "inval" => (MbarOp::Inval, NONE, NONE),
                    "arrive" if expect => (MbarOp::Arrive, NONE, arg),
                    "arrive" => (MbarOp::Arrive, arg, NONE),
                    "expect_tx" => (MbarOp::ExpectTx, NONE, arg),
                    _ => (MbarOp::CompleteTx, NONE, arg),
                };
                let needs = matches!(kind, MbarOp::Init | MbarOp::ExpectTx | MbarOp::CompleteTx) || expect;
                if needs && arg == NONE {
                    return self.unknown("number of operands");
                }
                let remote = remote && !matches!(kind, MbarOp::Init | MbarOp::Inval);
                self.push(Op::Mbar { kind, a, remote, count, tx, d })
            }
            None => self.unknown("operation"),
        }
    }

    fn bulk(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if m.take("commit_group") {
            return self.push(Op::BulkCommit);
        }
        if m.take("wait_group") {
            m.take("read");
            let o = self.need(ops, 1)?;
            let Opd::Int(n) = o[0] else {
                return self.unknown("a number of groups expected");
            };
            return self.push(Op::BulkWait { n: n.min(u64::from(u32::MAX)) as u32 });
        }
        let dims = if m.take("tensor") {
            let d = m.any(&["1d", "2d", "3d", "4d", "5d"]);
            m.take("tile");
            match d {
                Some(d) => usize::from(d.as_bytes()[0] - b'0'),
                None => return self.unknown("dimensions"),
            }
        } else {
            0
        };
        let hint = m.take("L2::cache_hint");
        let mbar = m.take("mbarrier::complete_tx::bytes");
        let group = m.take("bulk_group");
        let cluster = m.take("shared::cluster");
        if !(cluster || m.take("shared::cta")) || !m.take("global") || mbar == group {
            return self.unknown("spaces or completion");
        }
        let multicast = m.take("multicast::cluster");
        if multicast && (!mbar || !cluster) {
            return self.unknown("multicast");
        }
        let first = if dims > 0 { 2 } else { 3 } + usize::from(mbar);
        let o = self.need(ops, first + usize::from(multicast) + usize::from(hint))?;
        let mask = if multicast { self.w(&o[first], Ty::U16)? } else { NONE };
        let tensor = |s: &mut Self, o: &Opd<'a>| -> R<(Addr, Box<[u32]>)> {
            let Opd::Tensor(map, coords) = o else {
                return s.unknown("a tensor map and coordinates expected");
            };
            if coords.len() != dims {
                return s.unknown("number of coordinates");
            }
            let (a, _) = s.addr(map, Space::Generic)?;
            let c = coords.iter().map(|x| s.w(x, Ty::S32)).collect::<R<Vec<u32>>>()?;
            Ok((a, c.into()))
        };
        let bytes = if dims > 0 { NONE } else { self.w(&o[2], Ty::U32)? };
        if mbar {
            let (dst, _) = self.addr(&o[0], Space::Shared)?;
            let (src, coords) =
                if dims > 0 { tensor(self, &o[1])? } else { (self.addr(&o[1], Space::Global)?.0, Vec::new().into()) };
            let (mb, _) = self.addr(&o[if dims > 0 { 2 } else { 3 }], Space::Shared)?;
            self.push(Op::BulkLoad { dst, src, coords, bytes, mbar: mb, mask })
        } else {
            let (dst, coords) =
                if dims > 0 { tensor(self, &o[0])? } else { (self.addr(&o[0], Space::Global)?.0, Vec::new().into()) };
            let (src, _) = self.addr(&o[1], Space::Shared)?;
            self.push(Op::BulkStore { dst, src, coords, bytes })
        }
    }

    fn wgmma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn ldmatrix(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn mma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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
    fn form(d: &str, a: &str, b: &str, c: &str) -> Option<Form> {
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

    fn wmma(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn bar(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
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

    fn call(&mut self, ops: &[Opd<'a>]) -> R<()> {
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

/// A source position as text.
pub(crate) fn loc_text(files: &[(u32, String)], l: Loc) -> String {
    let name = |n: u32| files.iter().find(|f| f.0 == n).map_or_else(|| format!("file {n}"), |f| f.1.clone());
    if l.line == 0 {
        return String::new();
    }
    if l.at_line != 0 {
        // The line in the kernel is what its author knows; the inlined helper comes second.
        format!("{}:{} (in {}:{})", name(l.at_file), l.at_line, name(l.file), l.line)
    } else {
        format!("{}:{}", name(l.file), l.line)
    }
}
