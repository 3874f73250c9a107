//! A warp: its registers, its lanes' ways through the kernel, and its turn.

use super::held::Held;
use super::spin::Probe;
use super::undefined::{Lack, NO_TRUTH, NO_VALUE};
use super::wgmma::Late;
use super::*;

/// A set of lanes that runs as one, and where it joins the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub pc: u32,
    pub rpc: u32,
    pub mask: u32,
    pub wait: bool,
}

/// A `cp.async` of a warp that has not landed.
pub(super) struct Copy {
    pub group: u32,
    pub mask: u32,
    pub bytes: u8,
    pub dst: V,
    pub data: Box<[[u32; 4]; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Barrier(u32),
    /// Waits for the end of a phase of the mbarrier at an offset.
    Mbar(u32, u64),
    /// Has come to its wgmma of that number and waits for the other warps of its warpgroup.
    Warpgroup(u64),
    /// Waits for so many more registers a thread.
    Registers(u32),
    /// Waits for the cluster's barrier of that number.
    Cluster(u64),
    Done,
}

pub(crate) struct Warp {
    pub id: u32,
    /// The number in the cluster, of which every block has a multiple of four.
    pub gid: u32,
    /// The cluster barrier at which the warp has arrived without having waited yet.
    pub arrived: Option<u64>,
    pub w: Vec<V>,
    pub d: Vec<D>,
    pub p: Vec<u32>,
    pub stack: Vec<Frame>,
    pub live: u32,
    pub local: Vec<u8>,
    pub local_bytes: u32,
    pub copies: Vec<Copy>,
    pub group: V,
    /// Decides what lands early where timing is random.
    pub random: u64,
    /// Bulk groups that each lane has closed, and for those with copies in them the group and the clock of their latest.
    pub bulk_groups: V,
    pub bulk_open: Vec<(u32, u32, u32)>,
    pub state: State,
    pub hint: usize,
    pub at: u32,
    /// The reduction that a barrier in progress will give.
    pub red: Option<(BarRed, Reg, u32)>,
    /// What the registers lack that may be without a value; empty for a kernel where none can.
    pub undefined: Vec<Lack>,
    /// The bits of local memory that have no value, where registers are followed.
    pub local_undefined: Vec<u8>,
    /// Whether the warp has come to the wgmma at which it is, and waits for the rest of its warpgroup.
    pub at_wgmma: bool,
    /// The registers that each of its threads has, where that is known, and whether the warpgroup has met at the setmaxnreg.
    pub registers: Option<u32>,
    pub met: bool,
    /// What wgmma does to the registers, by register; empty for a kernel without.
    pub asynchronous: Vec<Pending>,
    /// The wgmmas whose results are not in the registers yet, oldest first.
    pub late: std::collections::VecDeque<Late>,
    /// Loads of what nothing has written, of which nothing has been used yet.
    pub held: Held,
    /// The number of the wgmma group that is being filled, of the latest that was waited for, and of fences so far.
    pub wgmma_group: u32,
    pub wgmma_done: u32,
    pub wgmma_fences: u32,
    /// Whether it has changed anything but its registers in this turn, how long it has run without waiting, how it is watched, and
    /// with what count of changes it was found to go round a loop, and where.
    pub changed: bool,
    pub since: u32,
    pub probe: Option<Box<Probe>>,
    pub spins: Option<(u64, u32)>,
    /// How often lanes that go round have made room for others since a count of changes.
    pub parted: (u64, u32),
}

/// The latest access to a register that a wgmma uses.
#[derive(Clone, Copy, Default)]
pub(super) struct Pending {
    /// The group of the wgmma that uses it, zero for none.
    pub group: u32,
    /// Fences before the latest access, plus one.
    pub fences: u32,
    /// The shape of the wgmma if it was as its accumulator, and [`AS_A`] if it was as its A.
    pub role: u32,
    pub pc: u32,
}
pub(super) const AS_A: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Jump,
    Block,
}
impl Warp {
    pub(super) fn reset(&mut self, l: &Launch<'_>, cta: [u32; 3], index: u64, rank: u32, threads: u32) {
        let (k, c) = (l.k, l.cluster);
        self.w.fill([u32::from(NO_VALUE) * 0x1_0001; 32]);
        self.d.fill([u64::from(NO_VALUE) * 0x1_0001_0001_0001; 32]);
        self.p.fill(NO_TRUTH);
        self.undefined.fill(Lack::ALL);
        self.local_undefined.fill(0xff);
        for (s, v) in &k.const_w {
            self.w[*s as usize] = [*v; 32];
        }
        for (s, v) in &k.const_d {
            self.d[*s as usize] = [*v; 32];
        }
        let first = self.id * 32;
        let n = threads - first;
        self.live = if n >= 32 { u32::MAX } else { (1 << n) - 1 };
        for (s, slot) in &k.sregs {
            let r = &mut self.w[*slot as usize];
            for (i, x) in r.iter_mut().enumerate() {
                let t = first + i as u32;
                let tid = [t % l.block[0], t / l.block[0] % l.block[1], t / l.block[0] / l.block[1]];
                *x = match s {
                    Sreg::Tid(d) => tid[*d as usize],
                    Sreg::Ntid(d) => l.block[*d as usize],
                    Sreg::Ctaid(d) => cta[*d as usize],
                    Sreg::ClusterId(d) => cta[*d as usize] / c[*d as usize],
                    Sreg::Nctaid(d) => l.grid[*d as usize],
                    Sreg::NClusterId(d) => l.grid[*d as usize] / c[*d as usize],
                    Sreg::LaneId => i as u32,
                    Sreg::WarpId => self.id,
                    Sreg::NWarpId => threads.div_ceil(32),
                    Sreg::SmId => (index % u64::from(l.opt.sms.max(1))) as u32,
                    Sreg::NSmId => l.opt.sms,
                    Sreg::GridId => 0,
                    Sreg::ClusterRank => rank,
                    Sreg::ClusterCtaid(d) => cta[*d as usize] % c[*d as usize],
                    Sreg::ClusterSize => c.iter().product(),
                    Sreg::ClusterNctaid(d) => c[*d as usize],
                    Sreg::LaneMask(0) => 1 << i,
                    Sreg::LaneMask(1) => u32::MAX >> (31 - i),
                    Sreg::LaneMask(2) => (1u32 << i) - 1,
                    Sreg::LaneMask(3) => u32::MAX << i,
                    Sreg::LaneMask(_) => (u32::MAX << i) & !(1 << i),
                    Sreg::DynSmem => l.dyn_shared,
                    Sreg::TotalSmem => l.k.static_shared + l.dyn_shared,
                    Sreg::WarpSize => 32,
                    Sreg::ExplicitCluster => u32::from(l.clustered),
                    Sreg::EnvReg(1) => (l.workspace >> 32) as u32,
                    Sreg::EnvReg(2) => l.workspace as u32,
                    Sreg::EnvReg(_) | Sreg::Zero => 0,
                };
            }
        }
        self.stack.clear();
        self.stack.push(Frame { pc: 0, rpc: PC_END, mask: self.live, wait: false });
        self.local.fill(0xff);
        self.copies.clear();
        self.group = [0; 32];
        self.random = l.opt.shuffle ^ index << 20 ^ u64::from(self.id);
        self.bulk_groups = [0; 32];
        self.bulk_open.clear();
        self.state = State::Ready;
        self.arrived = None;
        self.at_wgmma = false;
        (self.registers, self.met) = (k.thread_registers, false);
        self.late.clear();
        self.held.clear();
        self.at = 0;
        self.asynchronous.fill(Pending::default());
        (self.wgmma_group, self.wgmma_done, self.wgmma_fences) = (1, 0, 0);
        (self.changed, self.since, self.probe, self.spins) = (true, 0, None, None);
        self.parted = (0, 0);
    }

    pub(super) fn end_lanes(&mut self, mask: u32) {
        self.live &= !mask;
        for f in &mut self.stack {
            f.mask &= !mask;
            f.wait = false;
        }
        self.stack.retain(|f| f.mask != 0);
    }

    /// Runs until the warp waits, ends or has had its turn.
    pub(super) fn run(&mut self, env: &mut Env<'_, '_>, mut turn: u32) -> Run<()> {
        let l = env.l;
        let ins = &l.k.ins[..];
        if !self.late.is_empty() && draw(&mut self.random).is_multiple_of(4) {
            self.settle(env, u32::MAX);
        }
        self.watch_spin(l, turn);
        loop {
            let Some(top) = self.stack.last_mut() else {
                self.changed = true;
                self.state = State::Done;
                return Ok(());
            };
            if top.pc == top.rpc {
                self.stack.pop();
                for f in &mut self.stack {
                    f.wait = false;
                }
                continue;
            }
            if turn == 0 {
                return Ok(());
            }
            turn -= 1;
            if env.budget == 0 {
                const SLICE: u64 = 1 << 12;
                if l.spent.fetch_add(SLICE, Relaxed) >= l.opt.max_instructions {
                    self.at = top.pc;
                    return env.stop(
                        Kind::Timeout,
                        self,
                        None,
                        None,
                        format!("still running after {} warp instructions", l.opt.max_instructions),
                    );
                }
                if l.halt.load(Relaxed) {
                    return Err(Stop);
                }
                env.budget = SLICE;
            }
            env.budget -= 1;
            let (mut pc, mut mask) = (top.pc, top.mask);
            if self.probe.is_some() {
                if self.goes_round(l, pc) {
                    return Ok(());
                }
                if let Some(top) = self.stack.last() {
                    (pc, mask) = (top.pc, top.mask);
                }
            }
            self.at = pc;
            let i = &ins[pc as usize];
            let m = match i.guard {
                NONE => mask,
                g => {
                    let p = self.p[g as usize];
                    mask & if i.guard_not { !p } else { p }
                }
            };
            let doubtful = !self.undefined.is_empty() && l.k.doubtful.ins[pc as usize];
            if doubtful {
                self.guard_undefined(env, i.guard, mask);
            }
            let flow = if m == 0 && !matches!(i.op, Op::Bra { .. } | Op::Brx { .. }) {
                Flow::Next
            } else {
                self.changed |= !l.k.idle[pc as usize];
                if !self.held.is_empty() {
                    self.heed(env, i, m);
                }
                if !self.asynchronous.is_empty() {
                    self.watch(env, &l.k.watch[pc as usize]);
                }
                if doubtful { self.step_undefined(env, i, mask, m)? } else { self.step(env, &i.op, mask, m)? }
            };
            match flow {
                Flow::Next => {
                    let s = &mut env.st.pc[pc as usize];
                    s.0 += 1;
                    s.1 += u64::from(m.count_ones());
                    if let Some(top) = self.stack.last_mut() {
                        top.pc = pc + 1;
                    }
                }
                Flow::Jump => {
                    let s = &mut env.st.pc[pc as usize];
                    s.0 += 1;
                    s.1 += u64::from(mask.count_ones());
                }
                Flow::Block => {
                    self.since = 0;
                    if matches!(
                        self.state,
                        State::Mbar(..) | State::Cluster(_) | State::Warpgroup(_) | State::Registers(_)
                    ) {
                        return Ok(());
                    }
                    if matches!(self.state, State::Barrier(_)) {
                        let s = &mut env.st.pc[pc as usize];
                        s.0 += 1;
                        s.1 += u64::from(m.count_ones());
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Lanes, or all there can be where they are all that live.
    pub(super) fn full(&self, m: u32) -> u32 {
        if self.live & !m == 0 { u32::MAX } else { m }
    }

    /// Makes sure that the lanes an instruction needs are all here: otherwise lets the others come first.
    pub(super) fn together(&mut self, env: &Env<'_, '_>, have: u32, need: u32, what: &str) -> Run<bool> {
        if have & need == need & self.live {
            return Ok(true);
        }
        let n = self.stack.len();
        let pc = self.stack[n - 1].pc;
        self.stack[n - 1].wait = true;
        // Lanes that wait at the same instruction under the same reconvergence point go on as one.
        let rpc = self.stack[n - 1].rpc;
        let mut joined = false;
        let mut i = n - 1;
        while i > 0 {
            i -= 1;
            let f = self.stack[i];
            if f.pc == pc && f.rpc == rpc && f.wait && f.mask & self.stack[self.stack.len() - 1].mask == 0 {
                self.stack.remove(i);
                let t = self.stack.len() - 1;
                self.stack[t].mask |= f.mask;
                self.stack[t].wait = false;
                joined = true;
            }
        }
        if joined {
            return Ok(false);
        }
        let mut above = 0u32;
        for i in (0..n).rev() {
            let f = self.stack[i];
            if f.mask & above == 0 && !f.wait {
                let f = self.stack.remove(i);
                self.stack.push(f);
                return Ok(false);
            }
            above |= f.mask;
        }
        // Lanes that have nothing left but to end do so, and need not come.
        let mut above = 0u32;
        for i in (0..n).rev() {
            let f = self.stack[i];
            let rest = f.mask & !above & !have;
            if rest != 0 && Self::only_ends(env, f.pc) {
                self.end_lanes(rest);
                return Ok(false);
            }
            above |= f.mask;
        }
        let missing = need & self.live & !have;
        env.stop(
            Kind::Divergence,
            self,
            Some(missing.trailing_zeros()),
            None,
            format!("{what} needs lanes {:#010x} together, only {:#010x} are here", need & self.live, have),
        )
    }

    /// Whether nothing is between an instruction and the end.
    fn only_ends(env: &Env<'_, '_>, mut pc: u32) -> bool {
        for _ in 0..8 {
            match env.l.k.ins.get(pc as usize) {
                Some(Ins { op: Op::Exit, guard: NONE, .. }) => return true,
                Some(Ins { op: Op::Bra { to, .. }, guard: NONE, .. }) => pc = *to,
                Some(Ins { op: Op::Nop, .. }) => pc += 1,
                _ => return false,
            }
        }
        false
    }

    #[inline]
    pub(super) fn set_p(&mut self, d: u32, v: u32, mask: u32) {
        let p = &mut self.p[d as usize];
        *p = (*p & !mask) | (v & mask);
    }

    pub(super) fn combine(&self, v: u32, with: &Option<(BoolOp, u32, bool)>) -> (u32, u32) {
        match with {
            None => (v, !v),
            Some((op, p, not)) => {
                let c = if *not { !self.p[*p as usize] } else { self.p[*p as usize] };
                let f = |v: u32| match op {
                    BoolOp::And => v & c,
                    BoolOp::Or => v | c,
                    BoolOp::Xor => v ^ c,
                };
                (f(v), f(!v))
            }
        }
    }

    pub(super) fn set_pair(&mut self, d: u32, d2: u32, v: u32, with: &Option<(BoolOp, u32, bool)>, mask: u32) {
        let (a, b) = self.combine(v, with);
        self.set_p(d, a, mask);
        if d2 != NONE {
            self.set_p(d2, b, mask);
        }
    }

    #[inline]
    pub(super) fn addresses(&self, a: &Addr) -> D {
        let mut out = [a.off as u64; 32];
        match a.base {
            Base::None => {}
            Base::W(r) => {
                let r = &self.w[r as usize];
                for i in 0..32 {
                    out[i] = u64::from(r[i].wrapping_add(a.off as u32));
                }
            }
            Base::D(r) => {
                let r = &self.d[r as usize];
                for i in 0..32 {
                    out[i] = r[i].wrapping_add(a.off as u64);
                }
            }
        }
        out
    }

    /// One value of a register, by lane.
    pub(super) fn get(&self, r: Reg, lane: usize) -> u64 {
        match r {
            Reg::W(r) => u64::from(self.w[r as usize][lane]),
            Reg::D(r) => self.d[r as usize][lane],
            Reg::P(r) => u64::from(self.p[r as usize] >> lane & 1),
            Reg::Q(_) => 0,
        }
    }

    pub(super) fn set(&mut self, r: Reg, lane: usize, v: u64) {
        match r {
            Reg::W(r) => self.w[r as usize][lane] = v as u32,
            Reg::D(r) => self.d[r as usize][lane] = v,
            Reg::P(p) => {
                let p = &mut self.p[p as usize];
                *p = (*p & !(1 << lane)) | (v as u32 & 1) << lane;
            }
            Reg::Q(_) => {}
        }
    }

    pub(super) fn full_warp(&self, env: &Env<'_, '_>, what: &str) -> Run<()> {
        if self.live == u32::MAX {
            Ok(())
        } else {
            env.stop(
                Kind::Divergence,
                self,
                Some((!self.live).trailing_zeros()),
                None,
                format!("{what} in a warp of which some lanes have ended or do not exist"),
            )
        }
    }
}
