//! Registers that nothing has written: which of their bits lack a value, and where that matters.
//!
//! Copying such a register or computing with it is no mistake yet, and compilers leave code that does so for nothing. What is told is the
//! use: in an address, a branch, a matrix instruction, or as what is stored. Which bits of a result lack a value is found out by trying: the
//! instruction is executed again with other values in the operands' bits that have none, and whatever stays the same does not depend on
//! them. So masking, packing and shifting need no rules of their own.

use super::*;

/// What registers hold at the start: not a number as half, bfloat16, single or double, and no address.
pub(super) const NO_VALUE: u16 = 0x7ff9;
/// What predicates hold at the start, by lane.
pub(super) const NO_TRUTH: u32 = 0x5555_5555;

/// What a register lacks.
#[derive(Clone)]
pub(super) struct Lack {
    /// Lanes in which some bit has no value.
    lanes: u32,
    /// Lanes in which such bits were computed with, and not just copied along as padding is.
    computed: u32,
    bits: D,
}

impl Lack {
    pub const ALL: Self = Self { lanes: u32::MAX, computed: 0, bits: [u64::MAX; 32] };
    pub const NOTHING: Self = Self { lanes: 0, computed: 0, bits: [0; 32] };

    fn set(&mut self, bits: &D, computed: u32, m: u32) {
        for i in lanes(m) {
            self.bits[i] = bits[i];
            self.lanes = self.lanes & !(1 << i) | u32::from(bits[i] != 0) << i;
        }
        self.computed = (self.computed & !m) | (computed & m & self.lanes);
    }
    fn clear(&mut self, m: u32) {
        if self.lanes & m != 0 {
            self.set(&[0; 32], 0, m);
        }
    }
}

/// What an instruction makes of the bits of its operands.
#[derive(Clone, Copy, PartialEq)]
enum Mixing {
    /// Each bit of the result is a bit of an operand, or a function of a few.
    Bits,
    /// A bit depends on those below it, as sums do.
    Upwards,
    /// Halves depend on halves.
    Halves,
    /// Everything depends on everything.
    All,
}

fn mixing(opcode: &str) -> Mixing {
    let mut parts = opcode.split('.');
    let first = parts.next().unwrap_or("");
    let has = |what: &[&str]| opcode.split('.').any(|p| what.contains(&p));
    match first {
        "mov" | "and" | "or" | "xor" | "not" | "shl" | "shr" | "shf" | "prmt" | "bfi" | "bfe" | "lop3" | "selp"
        | "slct" | "cvta" | "shfl" | "movmatrix" | "brev" => Mixing::Bits,
        "cvt" if !has(&["f16", "bf16", "f32", "f64", "f16x2", "bf16x2", "tf32", "e4m3x2", "e5m2x2"]) => Mixing::Bits,
        _ if has(&["f16x2", "bf16x2"]) => Mixing::Halves,
        "add" | "sub" | "mul" | "mad" | "neg" | "mul24" | "mad24" if !has(&["f16", "bf16", "f32", "f64", "hi"]) => {
            Mixing::Upwards
        }
        _ => Mixing::All,
    }
}

impl Warp {
    fn lack(&self, env: &Env<'_, '_>, r: Reg) -> Option<&Lack> {
        self.undefined.get(env.l.k.doubtful.slot(r, env.l.k)?)
    }
    fn lack_mut(&mut self, env: &Env<'_, '_>, r: Reg) -> Option<&mut Lack> {
        self.undefined.get_mut(env.l.k.doubtful.slot(r, env.l.k)?)
    }
    fn lacking(&self, env: &Env<'_, '_>, r: Reg) -> u32 {
        self.lack(env, r).map_or(0, |l| l.lanes)
    }

    /// Tells where a guard has no value, for the lanes `mask` that come to it.
    pub(super) fn guard_undefined(&mut self, env: &Env<'_, '_>, guard: u32, mask: u32) {
        if guard == NONE {
            return;
        }
        let bad = self.lacking(env, Reg::P(guard)) & mask;
        if bad != 0 {
            if let Some(l) = self.lack_mut(env, Reg::P(guard)) {
                l.clear(bad);
            }
            self.tell_undefined(env, bad, "a predicate");
        }
    }

    /// Executes an instruction that may meet such registers, for the lanes `m` of `mask`.
    pub(super) fn step_undefined(&mut self, env: &mut Env<'_, '_>, i: &Ins, mask: u32, m: u32) -> Run<Flow> {
        if i.op.computes() {
            return self.compute_undefined(env, i, mask, m);
        }
        // Of a store only the address counts here, and the accumulator's value before does not where a product replaces it.
        let replaces = match &i.op {
            Op::Wgmma(g) => !(self.p[g.scale_d.0 as usize] ^ if g.scale_d.1 { u32::MAX } else { 0 }),
            _ => 0,
        };
        let accumulator: &[u32] = if let Op::Wgmma(g) = &i.op { &g.d } else { &[] };
        let stored: &[Reg] = if let Op::St { s, n, .. } = &i.op { &s[..usize::from(*n)] } else { &[] };
        let mut used = Vec::new();
        i.op.operands(&mut |r, written| {
            if !written && !stored.contains(&r) {
                let counts = if matches!(r, Reg::W(x) if accumulator.contains(&x)) { m & !replaces } else { m };
                used.push((r, counts));
            }
        });
        let mut bad = 0;
        for (r, counts) in used {
            if let Some(l) = self.lack_mut(env, r) {
                bad |= l.lanes & counts;
                l.clear(counts);
            }
        }
        if bad != 0 {
            self.tell_undefined(env, bad, "an operand");
        }
        let addrs = match &i.op {
            Op::Ld { a, .. } | Op::St { a, .. } => self.addresses(a),
            _ => [0; 32],
        };
        let flow = self.step(env, &i.op, mask, m)?;
        if flow != Flow::Next {
            return Ok(flow);
        }
        let mut written = Vec::new();
        i.op.operands(&mut |r, w| {
            if w {
                written.push(r);
            }
        });
        for r in written {
            if let Some(l) = self.lack_mut(env, r) {
                l.clear(m);
            }
        }
        match &i.op {
            Op::Ld { space, bytes, n, ext, d, .. } if matches!(space, Space::Local | Space::Generic) => {
                self.load_undefined(env, *space, usize::from(*bytes), *ext, &d[..usize::from(*n)], &addrs, m);
            }
            Op::St { space, bytes, .. } => self.store_undefined(env, *space, usize::from(*bytes), stored, &addrs, m),
            _ => {}
        }
        Ok(flow)
    }

    /// Takes over what local memory lacks.
    #[allow(clippy::too_many_arguments)]
    fn load_undefined(&mut self, env: &Env<'_, '_>, space: Space, per: usize, ext: Ext, d: &[Reg], addrs: &D, m: u32) {
        for (space, addrs, part) in Self::by_space(space, addrs, m) {
            if space != Space::Local {
                continue;
            }
            for (k, r) in d.iter().enumerate() {
                let mut bits = [0u64; 32];
                for i in lanes(part) {
                    let at = i * self.local_bytes as usize + addrs[i] as usize + k * per;
                    let mut b = [0u8; 8];
                    if let Some(from) = self.local_undefined.get(at..at + per.min(8)) {
                        b[..from.len()].copy_from_slice(from);
                    }
                    bits[i] = u64::from_le_bytes(b);
                    // The sign goes into all bits above.
                    if ext != Ext::Zero && b[per.min(8) - 1] & 0x80 != 0 {
                        bits[i] |= u64::MAX.checked_shl(8 * per as u32).unwrap_or(0);
                    }
                }
                if let Some(l) = self.lack_mut(env, *r) {
                    l.set(&bits, 0, part);
                }
            }
        }
    }

    /// Bytes without a value that are stored make memory that has none; that is told at once where it cannot be padding.
    fn store_undefined(&mut self, env: &mut Env<'_, '_>, space: Space, per: usize, s: &[Reg], addrs: &D, m: u32) {
        let mut bytes = [[0u8; 16]; 32];
        let (mut some, mut computed, mut whole) = (0u32, 0u32, u32::MAX);
        for (k, r) in s.iter().enumerate() {
            let Some(l) = self.lack(env, *r) else {
                whole = 0;
                continue;
            };
            for i in lanes(m) {
                let own = &l.bits[i].to_le_bytes()[..per.min(8)];
                bytes[i][k * per..k * per + own.len()].copy_from_slice(own);
                if own.iter().any(|b| *b != 0) {
                    some |= 1 << i;
                    computed |= l.computed & 1 << i;
                }
                if own.iter().any(|b| *b != u8::MAX) {
                    whole &= !(1 << i);
                }
            }
        }
        let size = per * s.len();
        for (space, addrs, part) in Self::by_space(space, addrs, m) {
            if space == Space::Local {
                for i in lanes(part) {
                    let at = i * self.local_bytes as usize + addrs[i] as usize;
                    if let Some(to) = self.local_undefined.get_mut(at..at + size) {
                        to.copy_from_slice(&bytes[i][..size]);
                    }
                }
                continue;
            }
            let bad = part & (computed | (some & whole));
            if bad != 0 {
                self.tell_undefined(env, bad, "an operand");
            }
            for i in lanes(part & some) {
                let lacks = (0..size).filter(|b| bytes[i][*b] == u8::MAX);
                if matches!(space, Space::Shared | Space::Cluster) {
                    for b in lacks {
                        let at = if space == Space::Shared {
                            self.shared_at(env, i, addrs[i] + b as u64, 1)
                        } else {
                            self.cluster_at(env, i, addrs[i] + b as u64, 1, None)
                        };
                        if let Ok(o) = at {
                            env.sh.forget(o, 1);
                        }
                    }
                } else if let Ok((al, off)) = self.global(env, i, addrs[i], 1) {
                    lacks.for_each(|b| al.set_invalid(off + b as u64, 1));
                }
            }
        }
    }

    /// Executes an instruction that only computes, and finds out which bits of its results lack a value.
    fn compute_undefined(&mut self, env: &mut Env<'_, '_>, i: &Ins, mask: u32, m: u32) -> Run<Flow> {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        i.op.operands(&mut |r, written| {
            let list = if written { &mut writes } else { &mut reads };
            if !list.contains(&r) {
                list.push(r);
            }
        });
        let any = reads.iter().fold(0, |any, r| any | self.lacking(env, *r)) & m;
        if any == 0 {
            let flow = self.step(env, &i.op, mask, m)?;
            if flow == Flow::Next {
                for r in writes {
                    if let Some(l) = self.lack_mut(env, r) {
                        l.clear(m);
                    }
                }
            }
            return Ok(flow);
        }
        let before: Vec<D> = reads.iter().map(|r| self.whole(*r)).collect();
        let lacks: Vec<Lack> = reads.iter().map(|r| self.lack(env, *r).cloned().unwrap_or(Lack::NOTHING)).collect();
        let decided = self.compared(env, i, any);
        let flow = self.step(env, &i.op, mask, m)?;
        if flow != Flow::Next {
            return Ok(flow);
        }
        let after: Vec<D> = writes.iter().map(|r| self.whole(*r)).collect();
        let mut differ = vec![[0u64; 32]; writes.len()];
        let opcode = &env.l.k.opcodes[i.name as usize];
        if let Some(open) = decided {
            for d in &mut differ {
                for i in lanes(open) {
                    d[i] = 1;
                }
            }
        } else if matches!(i.op, Op::Mapa { .. } | Op::Ctarank { .. }) {
            // Values that are none of the cluster's blocks would stop the launch.
            for d in &mut differ {
                for i in lanes(any) {
                    d[i] = u64::MAX;
                }
            }
        } else {
            for round in 0..6u64 {
                for (k, (r, (v, l))) in reads.iter().zip(before.iter().zip(&lacks)).enumerate() {
                    let mut seed = round << 32 | (k as u64) << 16;
                    let filled = std::array::from_fn(|i| {
                        let fill = match round {
                            0 => 0,
                            1 => u64::MAX,
                            _ => draw(&mut seed),
                        };
                        (v[i] & !l.bits[i]) | (fill & l.bits[i])
                    });
                    self.put_whole(*r, &filled);
                }
                let again = self.step(env, &i.op, mask, m);
                for (r, (first, d)) in writes.iter().zip(after.iter().zip(&mut differ)) {
                    let now = self.whole(*r);
                    for i in lanes(m) {
                        d[i] |= now[i] ^ first[i];
                    }
                }
                if !matches!(again, Ok(Flow::Next)) {
                    break;
                }
            }
            for (r, v) in reads.iter().zip(&before) {
                self.put_whole(*r, v);
            }
            for (r, v) in writes.iter().zip(&after) {
                self.put_whole(*r, v);
            }
        }
        let how = mixing(opcode);
        let computed = if how == Mixing::Bits {
            let own = lacks.iter().fold(0, |c, l| c | (l.computed & l.lanes));
            // Lanes get what others have.
            if matches!(i.op, Op::Shfl { .. } | Op::Movmatrix { .. }) && own & m != 0 { m } else { own }
        } else {
            m
        };
        for (r, d) in writes.iter().zip(&mut differ) {
            for x in d.iter_mut().filter(|x| **x != 0) {
                *x = match how {
                    Mixing::Bits => *x,
                    Mixing::Upwards => u64::MAX << x.trailing_zeros(),
                    Mixing::Halves => {
                        (0..4).filter(|h| *x >> (16 * h) & 0xffff != 0).fold(0, |all, h| all | 0xffff << (16 * h))
                    }
                    Mixing::All => u64::MAX,
                };
            }
            if let Some(l) = self.lack_mut(env, *r) {
                l.set(d, computed, m);
            }
        }
        Ok(flow)
    }

    /// The lanes in which the result of a comparison, or of a combination of predicates, is open: there trying would not do, as hardly any
    /// value is equal to a given one.
    fn compared(&self, env: &Env<'_, '_>, i: &Ins, any: u32) -> Option<u32> {
        let equality = || env.l.k.opcodes[i.name as usize].split('.').any(|p| p == "eq" || p == "ne");
        let pair = |a: Reg, b: Reg| {
            let none = Lack::NOTHING;
            let (la, lb) = (self.lack(env, a).unwrap_or(&none), self.lack(env, b).unwrap_or(&none));
            let keep = if matches!(a, Reg::W(_)) { u64::from(u32::MAX) } else { u64::MAX };
            lanes(any)
                .filter(|i| {
                    let lacks = (la.bits[*i] | lb.bits[*i]) & keep;
                    lacks != 0 && (self.get(a, *i) ^ self.get(b, *i)) & keep & !lacks == 0
                })
                .fold(0u32, |m, i| m | 1 << i)
        };
        // Comparing a register with itself is decided by no value.
        let (ab, with) = match &i.op {
            Op::SetpW { a, b, with, .. } if equality() => (if a == b { 0 } else { pair(Reg::W(*a), Reg::W(*b)) }, with),
            Op::SetpD { a, b, with, .. } if equality() => (if a == b { 0 } else { pair(Reg::D(*a), Reg::D(*b)) }, with),
            Op::SetpF { a, b, with, .. } => (self.lacking(env, *a) | self.lacking(env, *b), with),
            Op::P2 { f, a, b, .. } => {
                let (va, vb) = (self.p[*a as usize], self.p[*b as usize]);
                let (ua, ub) = (self.lacking(env, Reg::P(*a)), self.lacking(env, Reg::P(*b)));
                let r = f(va, vb);
                return Some((r ^ f(va ^ ua, vb)) | (r ^ f(va, vb ^ ub)) | (r ^ f(va ^ ua, vb ^ ub)));
            }
            _ => return None,
        };
        // Where the other operand decides alone, one without a value does no harm.
        Some(match with {
            None => ab,
            Some((op, p, not)) => {
                let c = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let open = match op {
                    BoolOp::And => c,
                    BoolOp::Or => !c,
                    BoolOp::Xor => u32::MAX,
                };
                (ab & open) | self.lacking(env, Reg::P(*p))
            }
        })
    }

    /// A register in all lanes.
    fn whole(&self, r: Reg) -> D {
        match r {
            Reg::D(r) => self.d[r as usize],
            _ => std::array::from_fn(|i| self.get(r, i)),
        }
    }
    fn put_whole(&mut self, r: Reg, v: &D) {
        for (i, v) in v.iter().enumerate() {
            self.set(r, i, *v);
        }
    }

    fn tell_undefined(&self, env: &Env<'_, '_>, lanes: u32, what: &str) {
        if env.l.opt.check_init {
            let text = format!("use of {what} whose register nothing has written");
            env.find(Kind::Uninitialised, self, Some(lanes.trailing_zeros()), None, text);
        }
    }
}
