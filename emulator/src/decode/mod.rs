//! From tokens to instructions: scopes, registers, operands, and one decoder per opcode.
//!
//! A modifier that a decoder does not consume, an operand of a form it does not expect and an opcode that is not listed are
//! errors. Calls of device functions are expanded in place, so that a kernel is one flat list.

mod arith;
mod call;
mod control;
mod copies;
mod matrix;
mod memory;
mod operand;
mod rare;

use std::collections::HashMap;

use crate::alu::*;
use crate::error::LoadError;
use crate::ins::*;
use crate::mma::{Acc, El, Form};
use crate::operands;
use crate::ptx::*;
use operand::{Mods, Opd};

/// Where a module-level variable lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GlobalSym {
    Mem(u64),
    Shared {
        size: u64,
        align: u32,
        dynamic: bool,
    },
    /// The address of a function.
    Func(u64),
}

#[derive(Clone, Copy, Debug)]
enum Sym {
    Reg(Reg),
    Label(usize),
    /// A vector of registers, whose parts have names of their own.
    Vector(usize),
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
    Q,
}

#[derive(Default)]
struct Scope<'a> {
    ranges: Vec<(&'a str, Class, u64)>,
    syms: HashMap<String, Sym>,
    targets: HashMap<String, Vec<usize>>,
    callees: HashMap<String, Vec<String>>,
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
    /// The functions that are being expanded, outermost first.
    calls: Vec<&'o str>,
    /// The predicate that stands for the carry.
    carry_flag: Option<u32>,
}

type R<T> = Result<T, LoadError>;

const MAX_INS: usize = 4_000_000;

fn align_up(x: u64, a: u64) -> u64 {
    x.div_ceil(a.max(1)) * a.max(1)
}

/// The registers that each thread of a kernel with `setmaxnreg` begins with: as many as it says it may have, or as many as there are for
/// the threads and blocks that it says there are. Without one of the two, compilers leave the instruction out.
fn thread_registers(f: &Func) -> Option<u32> {
    const OF_A_MULTIPROCESSOR: u32 = 65536;
    let fit = f.max_threads.zip(f.min_blocks).map(|(t, blocks)| {
        let threads = t.next_multiple_of(32).saturating_mul(blocks.max(1)).max(1);
        OF_A_MULTIPROCESSOR / threads / 8 * 8
    });
    f.max_registers.map(|n| n.next_multiple_of(8)).or(fit).map(|n| n.clamp(24, 256))
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
            calls: Vec::new(),
            carry_flag: None,
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
        name_lines(&mut self.ins);
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
        let words = self.const_w.values().chain(self.sregs.values()).map(|r| Reg::W(*r));
        let preset: Vec<Reg> = words.chain(self.const_d.values().map(|r| Reg::D(*r))).collect();
        let grid_workspace = self.sregs.keys().any(|s| matches!(s, Sreg::EnvReg(1 | 2)));
        operands::compared_before_exchange(&mut self.ins, &self.opcodes);
        let doubtful = operands::doubtful(&self.ins, self.n, &preset, self.local > 0);
        let learns = self.ins.iter().any(|i| learns(&i.op));
        Ok(Kernel {
            name: f.name.clone(),
            watch: watches(&self.ins, &self.opcodes),
            doubtful,
            ignored: operands::ignored_waits(&self.ins),
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
            block: f.block,
            thread_registers: thread_registers(f),
            cluster: f.cluster,
            explicit_cluster: f.explicit_cluster,
            grid_workspace,
            learns,
            polls: operands::polls(&self.ins),
            loads_read: operands::loads_read(&self.ins),
            idle: self.ins.iter().map(|i| crate::exec::idle(&i.op)).collect(),
            ins: self.ins,
            blocks_are_clusters: f.blocks_are_clusters,
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
        let (i, step) = match c {
            Class::Q => (1, 2),
            c => (c as usize, 1),
        };
        let n = self.n[i];
        self.n[i] += step;
        match c {
            Class::Q => Reg::Q(n),
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

    fn func(&mut self, f: &'o Func, scope: Scope<'a>, ret: Option<usize>) -> R<()> {
        if !f.has_body {
            return self.err(format!("function '{}' has no body", f.name));
        }
        if self.calls.contains(&f.name.as_str()) {
            return self.err(format!("'{}' calls itself: recursion is not supported", f.name));
        }
        self.calls.push(&f.name);
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
        self.calls.pop();
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
            GlobalSym::Mem(a) | GlobalSym::Func(a) => Some(Sym::Mem(*a)),
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
                if c.eat_word(".callprototype") {
                    while !c.eat(b';') {
                        if c.next().is_none() {
                            return self.err("a prototype without an end");
                        }
                    }
                } else if c.eat_word(".calltargets") {
                    let mut v = Vec::new();
                    loop {
                        v.push(c.word()?.to_owned());
                        if !c.eat(b',') {
                            break;
                        }
                    }
                    c.expect(b';')?;
                    if let Some(s) = self.scopes.last_mut() {
                        s.callees.insert((*w).to_owned(), v);
                    }
                } else if c.eat_word(".branchtargets") {
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
                let mut t = c.word()?;
                let vector = if matches!(t, ".v2" | ".v4") { usize::from(t.as_bytes()[2] - b'0') } else { 1 };
                if vector > 1 {
                    t = c.word()?;
                }
                let class = match t {
                    ".pred" => Class::P,
                    t => match type_size(t) {
                        Some(8) => Class::D,
                        Some(16) => Class::Q,
                        Some(1 | 2 | 4) => Class::W,
                        _ => return self.err(format!("registers of type '{t}'")),
                    },
                };
                loop {
                    let name = c.word()?;
                    if vector > 1 {
                        for part in &["x", "y", "z", "w"][..vector] {
                            let r = self.new_reg(class);
                            if let Some(s) = self.scopes.last_mut() {
                                s.syms.insert(format!("{name}.{part}"), Sym::Reg(r));
                            }
                        }
                        if let Some(s) = self.scopes.last_mut() {
                            s.syms.insert(name.to_owned(), Sym::Vector(vector));
                        }
                    } else if c.eat(b'<') {
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
        for o in &mut ops {
            if let Opd::Word(w, 0) = *o
                && let Some(Sym::Vector(n)) = self.lookup(w)
            {
                *o = Opd::List(["x", "y", "z", "w"][..n].iter().map(|p| Opd::Part(w, p)).collect());
            }
        }
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

    fn decode(&mut self, base: &'a str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        self.target_has(base, m)?;
        if self.rare(base, m, ops)? {
            return Ok(());
        }
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
            "setp" => self.setp(m, ops),
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
            "mov" => self.mov(m, ops),
            "cvt" => self.cvt(m, ops),
            "cvta" => self.cvta(m, ops),
            "ld" | "ldu" => self.ld(m, ops),
            "st" | "red" if m.take("async") => self.store_async(base, m, ops),
            "tensormap" => self.tensormap(m, ops),
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
                if m.any(&["fractional", "range", "cvt"]) == Some("cvt") && !m.take("L2") {
                    return self.unknown("modifiers");
                }
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
                let inc = m.take("inc");
                if inc == m.take("dec") {
                    return self.unknown("modifiers");
                }
                if !m.take("sync") | !m.take("aligned") | !m.take("u32") {
                    return self.unknown("modifiers");
                }
                self.need(ops, 1)?;
                match ops[0] {
                    Opd::Int(n @ 24..=256) if n.is_multiple_of(8) => self.push(Op::SetMaxNReg { inc, n: n as u32 }),
                    _ => self.err("setmaxnreg takes 24 to 256 registers, in steps of 8"),
                }
            }
            "fence" if m.take("proxy") => {
                if m.take("async") {
                    m.any(&["global", "shared::cta", "shared::cluster"]);
                    return self.push(Op::FenceAsync);
                }
                // Of one address by several names: blocks see each other's stores at once here.
                if m.take("alias") {
                    return self.push(Op::Nop);
                }
                if m.take("async::generic") {
                    let acquire = m.any(&["acquire", "release"]) == Some("acquire");
                    let space = if acquire { "sync_restrict::shared::cluster" } else { "sync_restrict::shared::cta" };
                    if !m.take(space) | !m.take("cluster") {
                        return self.unknown("modifiers");
                    }
                    return self.push(Op::FenceAsync);
                }
                if m.take("tensormap::generic") {
                    let what = m.any(&["acquire", "release"]);
                    if what.is_none() || m.any(&["cta", "cluster", "gpu", "sys"]).is_none() {
                        return self.unknown("modifiers");
                    }
                    if what == Some("release") {
                        self.need(ops, 0)?;
                        return self.push(Op::MapFence { acquire: None });
                    }
                    let o = self.need(ops, 2)?;
                    if !matches!(o[1], Opd::Int(128)) {
                        return self.unknown("a size of 128 expected");
                    }
                    let (a, _) = self.addr(&o[0], Space::Generic)?;
                    return self.push(Op::MapFence { acquire: Some(a) });
                }
                self.unknown("proxy")
            }
            "fence" if m.take("mbarrier_init") => {
                if !m.take("release") | !m.take("cluster") {
                    return self.unknown("modifiers");
                }
                self.push(Op::Fence { wide: true, device: false })
            }
            "membar" | "fence" => {
                let scope = m.any(&["cta", "cluster", "gl", "gpu", "sys"]);
                if m.any(&["proxy", "alias"]).is_some() {
                    return self.push(Op::Nop);
                }
                let half = m.any(&["sc", "acq_rel", "acquire", "release"]);
                if matches!(half, Some("acquire" | "release")) {
                    m.any(&["sync_restrict::shared::cluster", "sync_restrict::shared::cta"]);
                }
                if scope.is_none() {
                    return self.unknown("scope");
                }
                self.push(Op::Fence { wide: scope != Some("cta"), device: !matches!(scope, Some("cta" | "cluster")) })
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
}

/// Gives instructions that the compiler has put on no line of a file the line of what comes after them in the same run of
/// instructions, or else before: mostly they are part of the same statement.
fn name_lines(ins: &mut [Ins]) {
    let nowhere = |l: &Loc| l.file != 0 && l.line == 0;
    for at in (0..ins.len()).filter(|at| nowhere(&ins[*at].loc)).collect::<Vec<_>>() {
        let ends = |i: &&Ins| matches!(i.op, Op::Bra { .. } | Op::Brx { .. } | Op::Exit);
        let named = |i: &Ins| (i.loc.line != 0).then_some(i.loc);
        let after = ins[at..].iter().take_while(|i| !ends(i)).find_map(named);
        let before = || ins[..at].iter().rev().take_while(|i| !ends(i)).find_map(named);
        if let Some(l) = after.or_else(before) {
            ins[at].loc = l;
        }
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

/// Whether an instruction can read a flag in global memory.
fn learns(op: &Op) -> bool {
    let far = |s: Space| matches!(s, Space::Global | Space::Generic);
    match op {
        Op::Ld { space, fl, .. } => fl.strong && far(*space),
        Op::Atom { space, d, .. } => d.is_some() && far(*space),
        Op::Atom128(x) => x.d.is_some() && far(x.space),
        _ => false,
    }
}
