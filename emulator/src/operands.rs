//! What instructions read and write, and what follows from it before a kernel runs: which instructions may read registers that nothing
//! has written, and which waits go unheeded.

use std::collections::{HashMap, HashSet};

use crate::cfg::{Graph, follow};
use crate::ins::*;

impl Op {
    /// Names every register that the instruction reads (`false`) or writes (`true`), the guard apart.
    #[allow(clippy::too_many_lines)]
    pub fn operands(&self, f: &mut dyn FnMut(Reg, bool)) {
        let mut name = |r: Reg, written: bool| match r {
            Reg::W(NONE) | Reg::D(NONE) | Reg::P(NONE) | Reg::Q(NONE) => {}
            Reg::Q(r) => {
                f(Reg::D(r), written);
                f(Reg::D(r + 1), written);
            }
            r => f(r, written),
        };
        macro_rules! go {
            ($how:expr, $file:ident: $($r:expr),*) => {{ $(name(Reg::$file($r), $how);)* }};
        }
        macro_rules! w { (d $($d:expr),*; $($s:expr),*) => {{ go!(false, W: $($s),*); go!(true, W: $($d),*); }}; }
        macro_rules! addr {
            ($a:expr) => {
                match $a.base {
                    Base::W(r) => name(Reg::W(r), false),
                    Base::D(r) => name(Reg::D(r), false),
                    Base::None => {}
                }
            };
        }
        macro_rules! each {
            ($how:expr, $file:ident: $list:expr) => {
                $list.iter().for_each(|r| name(Reg::$file(*r), $how))
            };
        }
        macro_rules! regs {
            ($how:expr, $list:expr) => {
                $list.iter().for_each(|r| name(*r, $how))
            };
        }
        match self {
            Self::Nop
            | Self::Bra { .. }
            | Self::Exit
            | Self::Trap(_)
            | Self::Prefetch
            | Self::CpCommit
            | Self::CpWait { .. }
            | Self::CpWaitAll
            | Self::FenceAsync
            | Self::BulkCommit
            | Self::BulkWait { .. }
            | Self::WgmmaFence
            | Self::WgmmaCommit
            | Self::WgmmaWait { .. }
            | Self::SetMaxNReg { .. }
            | Self::Fence { .. }
            | Self::ClusterArrive { .. }
            | Self::ClusterWait
            | Self::Assert(_)
            | Self::Print { .. } => {}
            Self::Scalar(x) => {
                regs!(false, x.s);
                regs!(true, x.d);
            }
            Self::Brx { index, .. } => go!(false, W: *index),
            Self::W1 { d, a, .. } | Self::Movmatrix { d, a } => w!(d *d; *a),
            Self::W2 { d, a, b, .. } => w!(d *d; *a, *b),
            Self::W3 { d, a, b, c, .. } | Self::FloatX { d, a, b, c, .. } | Self::Lop3 { d, a, b, c, .. } => {
                w!(d *d; *a, *b, *c);
            }
            Self::D1 { d, a, .. } | Self::Cvta { d, a, .. } => {
                go!(false, D: *a);
                go!(true, D: *d);
            }
            Self::D2 { d, a, b, .. } => {
                go!(false, D: *a, *b);
                go!(true, D: *d);
            }
            Self::D3 { d, a, b, c, .. } => {
                go!(false, D: *a, *b, *c);
                go!(true, D: *d);
            }
            Self::Dw { d, a, b, .. } => {
                go!(false, D: *a);
                go!(false, W: *b);
                go!(true, D: *d);
            }
            Self::Dww { d, a, b, c, .. } => {
                go!(false, D: *a);
                go!(false, W: *b, *c);
                go!(true, D: *d);
            }
            Self::Wd1 { d, a, .. } => {
                go!(false, D: *a);
                go!(true, W: *d);
            }
            Self::Dw1 { d, a, .. } => {
                go!(false, W: *a);
                go!(true, D: *d);
            }
            Self::Wide2 { d, a, b, .. } => {
                go!(false, W: *a, *b);
                go!(true, D: *d);
            }
            Self::Wide3 { d, a, b, c, .. } => {
                go!(false, W: *a, *b);
                go!(false, D: *c);
                go!(true, D: *d);
            }
            Self::Bfi32 { d, a, b, c, e } => w!(d *d; *a, *b, *c, *e),
            Self::Bfi64 { d, a, b, c, e } => {
                go!(false, D: *a, *b);
                go!(false, W: *c, *e);
                go!(true, D: *d);
            }
            Self::SetpW { d, d2, a, b, with, .. } => {
                go!(false, W: *a, *b);
                go!(false, P: with.map_or(NONE, |x| x.1));
                go!(true, P: *d, *d2);
            }
            Self::SetpD { d, d2, a, b, with, .. } => {
                go!(false, D: *a, *b);
                go!(false, P: with.map_or(NONE, |x| x.1));
                go!(true, P: *d, *d2);
            }
            Self::SetpF { d, d2, a, b, with, .. } => {
                regs!(false, [*a, *b]);
                go!(false, P: with.map_or(NONE, |x| x.1));
                go!(true, P: *d, *d2);
            }
            Self::SelW { d, a, b, p, .. } => {
                go!(false, P: *p);
                w!(d *d; *a, *b);
            }
            Self::SelD { d, a, b, p, .. } => {
                go!(false, P: *p);
                go!(false, D: *a, *b);
                go!(true, D: *d);
            }
            Self::P2 { d, a, b, .. } => {
                go!(false, P: *a, *b);
                go!(true, P: *d);
            }
            Self::PNot { d, a } | Self::PMov { d, a } => {
                go!(false, P: *a);
                go!(true, P: *d);
            }
            Self::PConst { d, .. } => go!(true, P: *d),
            Self::Pack2x16 { d, s } => w!(d *d; s[0], s[1]),
            Self::Unpack2x16 { d, s } => w!(d d[0], d[1]; *s),
            Self::Pack2x32 { d, s } => {
                each!(false, W: s);
                go!(true, D: *d);
            }
            Self::Unpack2x32 { d, s } => {
                go!(false, D: *s);
                each!(true, W: d);
            }
            Self::Pack4x16 { d, s } => {
                each!(false, W: s);
                go!(true, D: *d);
            }
            Self::Unpack4x16 { d, s } => {
                go!(false, D: *s);
                each!(true, W: d);
            }
            Self::Cvt { d, a, .. } => {
                name(*a, false);
                name(*d, true);
            }
            Self::CvtPack { d, hi, lo, .. } => w!(d *d; *hi, *lo),
            Self::Clock { d } => name(*d, true),
            Self::Ld { n, d, a, .. } => {
                addr!(a);
                regs!(true, d[..usize::from(*n)]);
            }
            Self::St { n, s, a, .. } => {
                addr!(a);
                regs!(false, s[..usize::from(*n)]);
            }
            Self::Atom { d, a, b, c, .. } => {
                addr!(a);
                name(*b, false);
                regs!(false, c);
                regs!(true, d);
            }
            Self::Atom128(x) => {
                addr!(x.a);
                regs!(false, x.b);
                regs!(false, x.c.iter().flatten().copied().collect::<Vec<_>>());
                regs!(true, x.d.iter().flatten().copied().collect::<Vec<_>>());
            }
            Self::CpAsync { dst, src, src_size, ignore, .. } => {
                addr!(dst);
                addr!(src);
                go!(false, W: *src_size);
                go!(false, P: *ignore);
            }
            Self::Ldmatrix { n, d, a, .. } => {
                addr!(a);
                each!(true, W: d[..usize::from(*n)]);
            }
            Self::Stmatrix { n, s, a, .. } => {
                addr!(a);
                each!(false, W: s[..usize::from(*n)]);
            }
            Self::Mma { f, d, a, b, c } => {
                let [na, nb, nc, nd] = f.regs();
                each!(false, W: a[..na]);
                each!(false, W: b[..nb]);
                each!(false, W: c[..nc]);
                each!(true, W: d[..nd]);
            }
            Self::SparseMma(x) => {
                let [na, nb, nc, nd] = x.f.regs();
                each!(false, W: x.a[..na]);
                each!(false, W: x.b[..2 * nb]);
                each!(false, W: x.c[..nc]);
                go!(false, W: x.places);
                each!(true, W: x.d[..nd]);
            }
            Self::PlainMma(x) => {
                let wide = x.kind == PlainKind::F64;
                let mut all = |list: &[u32], how| {
                    list.iter().for_each(|r| name(if wide { Reg::D(*r) } else { Reg::W(*r) }, how));
                };
                [&x.a, &x.b, &x.c].iter().for_each(|r| all(r, false));
                all(&x.d, true);
            }
            Self::WmmaMove(x) => {
                addr!(x.a);
                go!(false, W: x.ld);
                let wide = x.f.el == WmmaEl::F64;
                x.regs.iter().for_each(|r| name(if wide { Reg::D(*r) } else { Reg::W(*r) }, x.load));
            }
            Self::WmmaMma(x) => {
                let wide = x.f[0].el == WmmaEl::F64;
                let mut all = |list: &[u32], how| {
                    list.iter().for_each(|r| name(if wide { Reg::D(*r) } else { Reg::W(*r) }, how));
                };
                x.regs[1..].iter().for_each(|r| all(r, false));
                all(&x.regs[0], true);
            }
            Self::Vote { d, p, mask, .. } => {
                go!(false, P: *p);
                go!(false, W: *mask);
                name(*d, true);
            }
            Self::Shfl { d, p, a, b, c, mask, .. } => {
                w!(d *d; *a, *b, *c, *mask);
                go!(true, P: *p);
            }
            Self::Match { wide, d, p, a, mask, .. } => {
                name(if *wide { Reg::D(*a) } else { Reg::W(*a) }, false);
                w!(d *d; *mask);
                go!(true, P: *p);
            }
            Self::Redux { d, a, mask, .. } => w!(d *d; *a, *mask),
            Self::Activemask { d } => go!(true, W: *d),
            Self::Mbar { a, count, tx, d, .. } => {
                addr!(a);
                go!(false, W: *count, *tx);
                regs!(true, d);
            }
            Self::MbarWait { a, p, v, .. } => {
                addr!(a);
                name(*v, false);
                go!(true, P: *p);
            }
            Self::CpArrive { a, .. } => addr!(a),
            Self::Mapa { d, a, rank } => {
                name(*a, false);
                go!(false, W: *rank);
                name(*d, true);
            }
            Self::Ctarank { d, a } => {
                name(*a, false);
                go!(true, W: *d);
            }
            Self::BulkLoad(x) => {
                addr!(x.dst);
                addr!(x.src);
                addr!(x.mbar);
                go!(false, W: x.bytes, x.mask);
                each!(false, W: x.coords);
            }
            Self::BulkStore(x) => {
                addr!(x.dst);
                addr!(x.src);
                go!(false, W: x.bytes);
                each!(false, W: x.coords);
            }
            Self::StAsync { n, s, a, mbar, .. } => {
                addr!(a);
                addr!(mbar);
                regs!(false, s[..usize::from(*n)]);
            }
            Self::TensorMap(x) => {
                addr!(x.a);
                name(x.v, false);
            }
            Self::MapCopy { dst, src } => {
                addr!(dst);
                addr!(src);
            }
            Self::MapFence { acquire } => {
                if let Some(a) = acquire {
                    addr!(a);
                }
            }
            Self::Wgmma(g) => {
                match &g.a {
                    Ok(desc) => go!(false, D: *desc),
                    Err(a) => each!(false, W: a),
                }
                go!(false, D: g.b);
                go!(false, P: g.scale_d.0);
                each!(false, W: g.d);
                each!(true, W: g.d);
            }
            Self::Elect { d, p, mask } => {
                go!(false, W: *mask);
                go!(true, W: *d);
                go!(true, P: *p);
            }
            Self::WarpSync { mask } => go!(false, W: *mask),
            Self::Bar { id, count, d, red, .. } => {
                go!(false, W: *id, *count);
                if let BarRed::Popc(p) | BarRed::And(p) | BarRed::Or(p) = red {
                    go!(false, P: *p);
                }
                name(*d, true);
            }
        }
    }

    /// Whether the instruction does no more than to compute its results from its operands, so that an operand without a value makes
    /// results without a value and nothing worse.
    pub fn computes(&self) -> bool {
        matches!(
            self,
            Self::Scalar(_)
                | Self::W1 { .. }
                | Self::W2 { .. }
                | Self::W3 { .. }
                | Self::D1 { .. }
                | Self::D2 { .. }
                | Self::D3 { .. }
                | Self::Dw { .. }
                | Self::Dww { .. }
                | Self::Wd1 { .. }
                | Self::Dw1 { .. }
                | Self::Wide2 { .. }
                | Self::Wide3 { .. }
                | Self::FloatX { .. }
                | Self::Lop3 { .. }
                | Self::Bfi32 { .. }
                | Self::Bfi64 { .. }
                | Self::SetpW { .. }
                | Self::SetpD { .. }
                | Self::SetpF { .. }
                | Self::SelW { .. }
                | Self::SelD { .. }
                | Self::P2 { .. }
                | Self::PNot { .. }
                | Self::PMov { .. }
                | Self::PConst { .. }
                | Self::Pack2x16 { .. }
                | Self::Unpack2x16 { .. }
                | Self::Pack2x32 { .. }
                | Self::Unpack2x32 { .. }
                | Self::Pack4x16 { .. }
                | Self::Unpack4x16 { .. }
                | Self::Cvt { .. }
                | Self::CvtPack { .. }
                | Self::Cvta { .. }
                | Self::Movmatrix { .. }
                | Self::Vote { .. }
                | Self::Shfl { .. }
                | Self::Match { .. }
                | Self::Redux { .. }
                | Self::Mapa { .. }
                | Self::Ctarank { .. }
        )
    }
}

/// The place of a register among those of all files: 32-bit ones, 64-bit ones and predicates.
pub(crate) fn place(r: Reg, n_w: u32, n_d: u32) -> usize {
    (match r {
        Reg::W(r) => r,
        Reg::D(r) | Reg::Q(r) => n_w + r,
        Reg::P(r) => n_w + n_d + r,
    }) as usize
}

/// Registers that may be without a value where they are read. Empty for most kernels.
#[derive(Debug, Default)]
pub(crate) struct Doubtful {
    /// How many they are, with those that are computed from them, and the number of each by [`place`], or [`NONE`].
    pub registers: usize,
    slots: Vec<u32>,
    /// For every instruction whether it reads or writes one; empty where there is no such register.
    pub ins: Vec<bool>,
}

impl Doubtful {
    /// The number of a register among them.
    pub fn slot(&self, r: Reg, k: &Kernel) -> Option<usize> {
        match self.slots.get(place(r, k.n_w, k.n_d)) {
            None | Some(&NONE) => None,
            Some(s) => Some(*s as usize),
        }
    }
}

/// The registers that nothing has written on some way through the kernel to an instruction that reads them, and where the kernel has
/// local memory also those that are loaded from it.
pub(crate) fn doubtful(ins: &[Ins], n: [u32; 3], preset: &[Reg], local: bool) -> Doubtful {
    let at = |r: Reg| place(r, n[0], n[1]);
    // At least one, as an empty set is one that no way has led to yet.
    let words = n.iter().map(|n| *n as usize).sum::<usize>().div_ceil(64).max(1);
    let g = Graph::new(ins);
    let blocks = g.starts.len();
    let range = |b: usize| g.starts[b]..g.starts.get(b + 1).copied().unwrap_or(ins.len());
    // Of every block the registers that may lack a value where it begins.
    let mut lacks = vec![Vec::new(); blocks];
    let Some(first) = lacks.first_mut() else { return Doubtful::default() };
    *first = vec![u64::MAX; words];
    for r in preset {
        first[at(*r) / 64] &= !(1 << (at(*r) % 64));
    }
    let written = |i: &Ins, lack: &mut [u64]| {
        if i.guard == NONE {
            i.op.operands(&mut |r, written| {
                if written {
                    lack[at(r) / 64] &= !(1 << (at(r) % 64));
                }
            });
        }
    };
    let mut work = vec![0];
    while let Some(b) = work.pop() {
        let mut lack = lacks[b].clone();
        ins[range(b)].iter().for_each(|i| written(i, &mut lack));
        for s in g.succ[b].iter().filter(|s| **s < blocks) {
            let to = &mut lacks[*s];
            let mut changed = to.is_empty();
            to.resize(words, 0);
            for (to, from) in to.iter_mut().zip(&lack) {
                changed |= *from & !*to != 0;
                *to |= *from;
            }
            if changed {
                work.push(*s);
            }
        }
    }
    let mut suspects = HashSet::new();
    for b in (0..blocks).filter(|b| !lacks[*b].is_empty()) {
        let mut lack = lacks[b].clone();
        for i in &ins[range(b)] {
            let mut read = |r: Reg| {
                if lack[at(r) / 64] >> (at(r) % 64) & 1 != 0 {
                    suspects.insert(at(r));
                }
            };
            if i.guard != NONE {
                read(Reg::P(i.guard));
            }
            i.op.operands(&mut |r, written| {
                if !written {
                    read(r);
                }
            });
            written(i, &mut lack);
        }
    }
    let in_local = |space: Space| local && matches!(space, Space::Local | Space::Generic);
    for i in ins {
        if let Op::Ld { space, n, d, .. } = &i.op
            && in_local(*space)
        {
            suspects.extend(
                d[..usize::from(*n)]
                    .iter()
                    .filter(|r| !matches!(r, Reg::Q(_) | Reg::W(NONE) | Reg::D(NONE)))
                    .map(|r| at(*r)),
            );
        }
    }
    if suspects.is_empty() {
        return Doubtful::default();
    }
    let touches = |i: &Ins, suspects: &HashSet<usize>, how: Option<bool>| {
        let mut yes = false;
        i.op.operands(&mut |r, written| yes |= how.is_none_or(|h| h == written) && suspects.contains(&at(r)));
        yes
    };
    // And what is computed from them.
    loop {
        let n = suspects.len();
        for i in ins.iter().filter(|i| i.op.computes()) {
            if touches(i, &suspects, Some(false)) {
                i.op.operands(&mut |r, written| {
                    if written {
                        suspects.insert(at(r));
                    }
                });
            }
        }
        if suspects.len() == n {
            break;
        }
    }
    let touched = |i: &Ins| {
        touches(i, &suspects, None)
            || (i.guard != NONE && suspects.contains(&at(Reg::P(i.guard))))
            || matches!(i.op, Op::St { space, .. } if in_local(space))
    };
    let touched = ins.iter().map(touched).collect();
    let mut slots = vec![NONE; n.iter().map(|n| *n as usize).sum()];
    for (k, r) in suspects.iter().enumerate() {
        slots[*r] = k as u32;
    }
    Doubtful { ins: touched, registers: suspects.len(), slots }
}

/// Makes plain loads relaxed whose value goes to an `atom.cas` as what it compares with: a stale value does no harm there, and such
/// loops begin with a plain load in most code.
pub(crate) fn compared_before_exchange(ins: &mut [Ins], opcodes: &[String]) {
    let mut compared: HashSet<Reg> = ins
        .iter()
        .filter_map(|i| match &i.op {
            Op::Atom { op: AtomOp::Cas, b, .. } => Some(*b),
            _ => None,
        })
        .collect();
    if compared.is_empty() {
        return;
    }
    loop {
        let n = compared.len();
        for i in ins.iter().filter(|i| opcodes[i.name as usize].starts_with("mov.")) {
            let (mut from, mut to) = (Vec::new(), Vec::new());
            i.op.operands(&mut |r, written| if written { to.push(r) } else { from.push(r) });
            if to.iter().any(|r| compared.contains(r)) {
                compared.extend(from);
            }
        }
        if compared.len() == n {
            break;
        }
    }
    for i in ins {
        if let Op::Ld { d, n: 1, fl, .. } = &mut i.op
            && compared.contains(&d[0])
        {
            fl.strong = true;
        }
    }
}

/// The loads from shared memory of which some instruction can read what they bring.
pub(crate) fn loads_read(ins: &[Ins]) -> Vec<bool> {
    let mut of = HashMap::new();
    let mut seen = HashSet::new();
    (0..ins.len())
        .map(|at| {
            let shared = |s: Space| matches!(s, Space::Shared | Space::Cluster | Space::Generic);
            match ins[at].op {
                Op::Ldmatrix { .. } => {}
                Op::Ld { space, .. } if shared(space) => {}
                _ => return false,
            }
            let mut brought = Vec::new();
            ins[at].op.operands(&mut |r, written| brought.extend(written.then_some(r)));
            brought.iter().any(|r| is_read(ins, at, *r, &mut of, &mut seen))
        })
        .collect()
}

/// Whether a way leads from behind an instruction to one that reads a register, with none on it that writes it anew.
fn is_read(
    ins: &[Ins],
    at: usize,
    reg: Reg,
    of: &mut HashMap<usize, Vec<(Reg, bool)>>,
    seen: &mut HashSet<usize>,
) -> bool {
    // Further than that nobody looks: it may be read.
    const FAR: usize = 10_000;
    seen.clear();
    let mut next = vec![at + 1];
    while let Some(pc) = next.pop() {
        if pc >= ins.len() || !seen.insert(pc) {
            continue;
        }
        if seen.len() > FAR {
            return true;
        }
        let i = &ins[pc];
        let operands = of.entry(pc).or_insert_with(|| {
            let mut v = Vec::new();
            i.op.operands(&mut |r, written| v.push((r, written)));
            v
        });
        if operands.contains(&(reg, false)) {
            return true;
        }
        if i.guard == NONE && operands.contains(&(reg, true)) {
            continue;
        }
        follow(ins, pc, |to| next.push(to));
    }
    false
}

/// The relaxed loads that a branch on what they bring can lead to again, as in a loop that waits for a flag.
pub(crate) fn polls(ins: &[Ins]) -> Vec<bool> {
    let again = |pc: usize, d: &[Reg]| {
        // All that is computed from the value, wherever it is.
        let mut from_it: HashSet<Reg> = d.iter().copied().collect();
        loop {
            let n = from_it.len();
            for i in ins {
                let mut reads = i.guard != NONE && from_it.contains(&Reg::P(i.guard));
                let mut results = Vec::new();
                i.op.operands(&mut |r, written| {
                    if written {
                        results.push(r);
                    } else {
                        reads |= from_it.contains(&r);
                    }
                });
                if reads {
                    from_it.extend(results);
                }
            }
            if from_it.len() == n {
                break;
            }
        }
        // What is compared by an atomic operation may be old.
        if ins.iter().any(|i| matches!(&i.op, Op::Atom { op: AtomOp::Cas, b, .. } if from_it.contains(b))) {
            return true;
        }
        // What leads to the load.
        let mut before = vec![false; ins.len()];
        before[pc] = true;
        loop {
            let mut more = false;
            for at in (0..ins.len()).rev() {
                if !before[at] {
                    let mut leads = false;
                    follow(ins, at, |next| leads |= before.get(next).copied().unwrap_or(false));
                    before[at] = leads;
                    more |= leads;
                }
            }
            if !more {
                break;
            }
        }
        let after_it = |at: usize| {
            let mut seen = vec![false; ins.len()];
            let mut work = vec![pc];
            while let Some(x) = work.pop() {
                follow(ins, x, |next| {
                    if next < ins.len() && !std::mem::replace(&mut seen[next], true) {
                        work.push(next);
                    }
                });
            }
            seen[at]
        };
        ins.iter().enumerate().any(|(at, i)| {
            i.guard != NONE
                && from_it.contains(&Reg::P(i.guard))
                && before[at]
                && matches!(i.op, Op::Bra { .. })
                && after_it(at)
        })
    };
    let mut out = vec![false; ins.len()];
    for (pc, i) in ins.iter().enumerate() {
        if let Op::Ld { d, n, fl, .. } = &i.op
            && fl.strong
        {
            out[pc] = again(pc, &d[..usize::from(*n)]);
        }
    }
    out
}

/// The `mbarrier.try_wait`s whose result decides nothing: no branch, guard or store depends on it.
pub(crate) fn ignored_waits(ins: &[Ins]) -> Vec<u32> {
    let heeded = |pc: usize, p: u32| {
        // Where the predicate is read before it is written again, and what is computed from it there.
        let mut from_it: Vec<Reg> = Vec::new();
        let mut seen = HashSet::new();
        let mut work = Vec::new();
        follow(ins, pc, |next| work.push(next));
        while let Some(pc) = work.pop() {
            let Some(i) = ins.get(pc).filter(|_| seen.insert(pc)) else { continue };
            let (mut reads, mut writes, mut results) = (false, false, Vec::new());
            i.op.operands(&mut |r, written| {
                reads |= !written && r == Reg::P(p);
                writes |= written && r == Reg::P(p);
                if written {
                    results.push(r);
                }
            });
            if i.guard == p || (reads && !i.op.computes()) {
                return true;
            }
            if reads {
                from_it.extend(results);
            }
            if !(writes && i.guard == NONE) {
                follow(ins, pc, |next| work.push(next));
            }
        }
        loop {
            let n = from_it.len();
            for i in ins {
                let mut reads = matches!(i.guard, g if g != NONE && from_it.contains(&Reg::P(g)));
                let guarded = reads;
                let mut results = Vec::new();
                i.op.operands(&mut |r, written| {
                    if written {
                        results.push(r);
                    } else {
                        reads |= from_it.contains(&r);
                    }
                });
                if guarded || (reads && (!i.op.computes() || results.is_empty())) {
                    return true;
                }
                if reads {
                    results.retain(|r| !from_it.contains(r));
                    from_it.extend(results);
                }
            }
            if from_it.len() == n {
                return false;
            }
        }
    };
    let waits = ins.iter().enumerate().filter_map(|(pc, i)| match i.op {
        Op::MbarWait { blocking: true, p, .. } if !heeded(pc, p) => Some(pc as u32),
        _ => None,
    });
    waits.collect()
}
