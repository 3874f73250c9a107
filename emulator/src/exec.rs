//! Running a kernel: warps in lockstep, blocks one after another or on several host threads.

mod hopper;
mod matrix;
mod memory;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::alu::*;
use crate::decode::loc_text;
use crate::ins::*;
use crate::mem::{Alloc, Memory};
use crate::mma;
use crate::num::*;
use crate::report::*;
use crate::shared::{Shared, wavefronts};

/// How a launch is run and what is checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Report reads of bytes that were never written.
    pub check_init: bool,
    /// Report unordered accesses to shared memory, and to global memory by different blocks.
    pub check_race: bool,
    /// Warp instructions after which a launch counts as one that never ends.
    pub max_instructions: u64,
    /// Host threads; zero takes what the machine has.
    pub threads: usize,
    /// Blocks of one host thread that take turns where one of them keeps running, so that a block can wait for a later one.
    pub resident: usize,
    /// Findings kept; more are only counted.
    pub max_findings: usize,
    /// Multiprocessors of the device that is emulated, for `%nsmid` and `%smid`.
    pub sms: u32,
    /// Where the device's clocks stand when a launch begins: `%globaltimer` in nanoseconds, `%clock64` at one a nanosecond.
    pub clock: u64,
    /// Races that are meant: names of kernels, or parts of `file:line` source positions.
    pub allow_race: Vec<String>,
    /// Other than zero: warps run in a random order and for a random time each, which this number decides. A kernel without races
    /// gives the same results and counters with every number.
    pub shuffle: u64,
    /// Bulk copies land when they are issued, and not when nothing else can run. Neither order may make a difference.
    pub copies_land_early: bool,
    /// Outputs every byte of which has to be written once.
    pub written_once: Vec<crate::Region>,
    /// How the matrix instructions on floats round.
    pub numerics: mma::Numerics,
    /// The compute capability of the device that is emulated, ten times the major number plus the minor. Of consequence with
    /// [`crate::Numerics::Truncating`] only.
    pub sm: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            check_init: true,
            check_race: true,
            max_instructions: 4_000_000_000,
            threads: 1,
            resident: 8,
            max_findings: 64,
            sms: 4,
            clock: 0,
            allow_race: Vec::new(),
            shuffle: 0,
            copies_land_early: false,
            written_once: Vec::new(),
            numerics: mma::Numerics::default(),
            sm: 90,
        }
    }
}

/// The launch has to stop; the finding is already recorded.
pub(crate) struct Stop;

type Run<T> = Result<T, Stop>;

/// What all blocks of a launch share.
pub(crate) struct Launch<'a> {
    pub k: &'a Kernel,
    pub files: &'a [(u32, String)],
    pub mem: &'a Memory,
    pub params: &'a [u8],
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Blocks of a cluster in each dimension.
    pub cluster: [u32; 3],
    pub dyn_shared: u32,
    pub opt: &'a Options,
    pub findings: Mutex<Found>,
    pub halt: AtomicBool,
    pub spent: AtomicU64,
    pub atomics: Mutex<()>,
    pub order: crate::race::GridOrder,
    pub cover: crate::race::Coverage,
}

#[derive(Default)]
pub(crate) struct Found {
    pub list: Vec<Finding>,
    seen: HashMap<(Kind, u32), usize>,
    pub fault: Option<Kind>,
}

/// Counters of the blocks that one host thread runs.
#[derive(Default)]
pub(crate) struct Stats {
    pub c: Counters,
    /// Executions and active lanes of every instruction.
    pub pc: Vec<(u64, u64)>,
}

/// A set of lanes that runs as one, and where it joins the others.
#[derive(Clone, Copy, Debug)]
struct Frame {
    pc: u32,
    rpc: u32,
    mask: u32,
    wait: bool,
}

/// A `cp.async` of a warp that has not landed.
struct Copy {
    group: u32,
    mask: u32,
    bytes: u8,
    dst: V,
    data: Box<[[u32; 4]; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Barrier(u32),
    /// Waits for the end of a phase of the mbarrier at an offset.
    Mbar(u32, u64),
    /// Waits for the cluster's barrier of that number.
    Cluster(u64),
    Done,
}

#[derive(Default)]
struct Bar {
    /// Warps that wait, and threads that have arrived.
    waiting: u32,
    threads: u32,
    /// Threads to wait for; zero for all of the block.
    expect: u32,
    arrived_warps: u64,
    popc: u32,
    and: bool,
    or: bool,
}

pub(crate) struct Warp {
    id: u32,
    /// The number in the cluster, of which every block has a multiple of four.
    gid: u32,
    /// The cluster barrier at which the warp has arrived without having waited yet.
    arrived: Option<u64>,
    w: Vec<V>,
    d: Vec<D>,
    p: Vec<u32>,
    stack: Vec<Frame>,
    live: u32,
    local: Vec<u8>,
    local_bytes: u32,
    copies: Vec<Copy>,
    group: V,
    state: State,
    hint: usize,
    at: u32,
    /// The reduction that a barrier in progress will give.
    red: Option<(BarRed, Reg, u32)>,
    /// What wgmma does to the registers, by register; empty for a kernel without.
    asynchronous: Vec<Pending>,
    /// The number of the wgmma group that is being filled, of the latest that was waited for, and of fences so far.
    wgmma_group: u32,
    wgmma_done: u32,
    wgmma_fences: u32,
}

/// The latest access to a register that a wgmma uses.
#[derive(Clone, Copy, Default)]
struct Pending {
    /// The group of the wgmma that uses it, zero for none.
    group: u32,
    /// Fences before the latest access, plus one.
    fences: u32,
    /// The shape of the wgmma if it was as its accumulator, and [`AS_A`] if it was as its A.
    role: u32,
    pc: u32,
}
const AS_A: u32 = u32::MAX;

/// What an instruction may touch besides its warp.
struct Env<'e, 'a> {
    l: &'e Launch<'a>,
    sh: &'e mut Shared,
    st: &'e mut Stats,
    bars: &'e mut [Bar; 16],
    cta: [u32; 3],
    cta_id: u32,
    /// The rank of the block in its cluster.
    rank: u32,
    cta_threads: u32,
    budget: u64,
}

enum Flow {
    Next,
    Jump,
    Block,
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    let mut m = mask;
    std::iter::from_fn(move || {
        if m == 0 {
            return None;
        }
        let i = m.trailing_zeros();
        m &= m - 1;
        Some(i as usize)
    })
}

#[inline]
fn put<T: std::marker::Copy>(dst: &mut [T; 32], src: &[T; 32], mask: u32) {
    if mask == u32::MAX {
        *dst = *src;
    } else {
        for i in 0..32 {
            if mask >> i & 1 != 0 {
                dst[i] = src[i];
            }
        }
    }
}

/// The next of a row of random numbers.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn flush(x: u32) -> u32 {
    if x & 0x7f80_0000 == 0 { x & 0x8000_0000 } else { x }
}

impl Env<'_, '_> {
    fn find(&self, kind: Kind, warp: &Warp, lane: Option<u32>, address: Option<u64>, message: String) {
        let pc = warp.at;
        self.l.found(kind, pc, self.cta, warp.id, lane, address, message);
    }
    fn stop<T>(&self, kind: Kind, warp: &Warp, lane: Option<u32>, address: Option<u64>, message: String) -> Run<T> {
        self.find(kind, warp, lane, address, message);
        self.l.halt.store(true, Relaxed);
        Err(Stop)
    }
}

impl Launch<'_> {
    fn rules(&self, wgmma: bool) -> mma::Rules {
        mma::Rules { numerics: self.opt.numerics, sm: self.opt.sm, wgmma }
    }
    pub fn source(&self, pc: u32) -> String {
        self.k.ins.get(pc as usize).map_or_else(String::new, |i| loc_text(self.files, i.loc))
    }
    #[allow(clippy::too_many_arguments)]
    pub fn found(
        &self,
        kind: Kind,
        pc: u32,
        cta: [u32; 3],
        warp: u32,
        lane: Option<u32>,
        address: Option<u64>,
        message: String,
    ) {
        if kind == Kind::Race && !self.opt.allow_race.is_empty() {
            let at = self.source(pc);
            if self.opt.allow_race.iter().any(|x| *x == self.k.name || (!x.is_empty() && at.contains(x.as_str()))) {
                return;
            }
        }
        let Ok(mut f) = self.findings.lock() else {
            return;
        };
        if kind.fatal() && f.fault.is_none() {
            f.fault = Some(kind);
        }
        if let Some(i) = f.seen.get(&(kind, pc)).copied() {
            f.list[i].count += 1;
            return;
        }
        if f.list.len() >= self.opt.max_findings && !kind.fatal() {
            return;
        }
        let (ptx_line, opcode) = self
            .k
            .ins
            .get(pc as usize)
            .map_or((0, String::new()), |i| (i.ptx_line, self.k.opcodes[i.name as usize].clone()));
        let n = f.list.len();
        f.seen.insert((kind, pc), n);
        f.list.push(Finding {
            kind,
            kernel: self.k.name.clone(),
            source: self.source(pc),
            ptx_line,
            opcode,
            cta,
            warp,
            lane,
            address,
            message,
            count: 1,
        });
    }

    /// Runs every block.
    pub fn run(&self) -> Report {
        let total = (0..3).map(|d| u64::from(self.grid[d] / self.cluster[d])).product::<u64>();
        let threads = match self.opt.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let threads = threads.min(usize::try_from(total).unwrap_or(usize::MAX)).max(1);
        let next = AtomicU64::new(0);
        let resident = self.opt.resident.max(1);
        let work = || {
            let mut st = Stats { pc: vec![(0, 0); self.k.ins.len()], ..Stats::default() };
            let mut free: Vec<Group> = Vec::new();
            let mut running: std::collections::VecDeque<Group> = std::collections::VecDeque::new();
            loop {
                if self.halt.load(Relaxed) {
                    break;
                }
                // A block that has used its turn makes room for the next, as it may wait for what that one does.
                let mut cta = if running.len() < resident && next.load(Relaxed) < total {
                    let i = next.fetch_add(1, Relaxed);
                    if i >= total {
                        continue;
                    }
                    let mut c = free.pop().unwrap_or_else(|| Group::new(self));
                    c.begin(self, i);
                    st.c.blocks += c.ctas.len() as u64;
                    c
                } else if let Some(c) = running.pop_front() {
                    c
                } else {
                    break;
                };
                if cta.run(self, &mut st) {
                    free.push(cta);
                } else {
                    running.push_back(cta);
                }
            }
            st
        };
        let all: Vec<Stats> = if threads == 1 {
            vec![work()]
        } else {
            std::thread::scope(|s| {
                let h: Vec<_> = (0..threads).map(|_| s.spawn(work)).collect();
                h.into_iter().filter_map(|h| h.join().ok()).collect()
            })
        };
        let mut report = Report { ticks: self.spent.load(Relaxed), ..Report::default() };
        for st in all {
            let mut c = st.c;
            for (i, (n, lanes)) in self.k.ins.iter().zip(&st.pc) {
                if *n > 0 {
                    c.warp_instructions += n;
                    c.thread_instructions += lanes;
                    *c.mix.entry(self.k.opcodes[i.name as usize].clone()).or_default() += n;
                }
            }
            report.counters.add(&c);
        }
        if !self.halt.load(Relaxed) {
            for what in self.cover.missing() {
                self.found(Kind::Coverage, u32::MAX, [0; 3], 0, None, None, what);
            }
        }
        if let Ok(mut f) = self.findings.lock() {
            report.findings = std::mem::take(&mut f.list);
            report.fault = f.fault;
        }
        report
    }
}

/// A block of a cluster.
struct Cta {
    warps: Vec<Warp>,
    bars: [Bar; 16],
    at: [u32; 3],
    index: u64,
    rank: u32,
}

/// The blocks of a cluster, or a block alone, that run or have run; their memory is used again for the next.
struct Group {
    ctas: Vec<Cta>,
    sh: Shared,
    budget: u64,
    random: u64,
}

impl Cta {
    fn new(l: &Launch<'_>, rank: u32, per: u32) -> Self {
        let threads = l.block[0] * l.block[1] * l.block[2];
        let n = threads.div_ceil(32);
        let k = l.k;
        let warps = (0..n)
            .map(|id| Warp {
                id,
                gid: rank * per + id,
                arrived: None,
                w: vec![[0; 32]; k.n_w as usize],
                d: vec![[0; 32]; k.n_d as usize],
                p: vec![0; k.n_p as usize],
                stack: Vec::new(),
                live: 0,
                local: vec![0; k.local_bytes as usize * 32],
                local_bytes: k.local_bytes,
                copies: Vec::new(),
                group: [0; 32],
                state: State::Ready,
                hint: 0,
                at: 0,
                red: None,
                asynchronous: vec![Pending::default(); if k.watch.is_empty() { 0 } else { k.n_w as usize }],
                wgmma_group: 1,
                wgmma_done: 0,
                wgmma_fences: 0,
            })
            .collect();
        Self { warps, bars: Default::default(), at: [0; 3], index: 0, rank }
    }

    fn ended(&self) -> bool {
        self.warps.iter().all(|w| w.state == State::Done)
    }

    /// Lets go the warps whose barrier is complete.
    fn release(&mut self, sh: &mut Shared) {
        let Self { warps, bars, rank, .. } = self;
        for (b, bar) in bars.iter_mut().enumerate() {
            if bar.waiting == 0 && bar.threads == 0 {
                continue;
            }
            let complete = if bar.expect == 0 {
                warps.iter().all(|w| w.state == State::Done || bar.arrived_warps >> w.id & 1 != 0)
            } else {
                bar.threads >= bar.expect
            };
            if !complete {
                continue;
            }
            let place = 16 * *rank as usize + b;
            sh.race.barrier_done(place);
            for w in warps.iter_mut() {
                if w.state == State::Barrier(b as u32) {
                    w.state = State::Ready;
                    sh.race.barrier_pass(place, w.gid);
                    w.finish_barrier(bar);
                }
            }
            *bar = Bar::default();
        }
    }
}

impl Group {
    fn new(l: &Launch<'_>) -> Self {
        let blocks = l.cluster.iter().product::<u32>();
        let n = (l.block[0] * l.block[1] * l.block[2]).div_ceil(32);
        let per = slots(blocks as usize, n as usize) as u32;
        Self {
            ctas: (0..blocks).map(|rank| Cta::new(l, rank, per)).collect(),
            sh: Shared::new(l.k.static_shared + l.dyn_shared, per, blocks, l.opt.check_init, l.opt.check_race),
            budget: 0,
            random: 0,
        }
    }

    fn begin(&mut self, l: &Launch<'_>, index: u64) {
        let (g, c) = (l.grid, l.cluster);
        let n = [0, 1, 2].map(|d| u64::from(g[d] / c[d]));
        let place = [index % n[0], index / n[0] % n[1], index / n[0] / n[1]].map(|x| x as u32);
        self.random = l.opt.shuffle.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index + 1);
        self.sh.reset();
        self.sh.cluster.index = index;
        let threads = l.block[0] * l.block[1] * l.block[2];
        for cta in &mut self.ctas {
            let inside = [cta.rank % c[0], cta.rank / c[0] % c[1], cta.rank / c[0] / c[1]];
            cta.at = std::array::from_fn(|d| place[d] * c[d] + inside[d]);
            let at = cta.at.map(u64::from);
            cta.index = at[0] + u64::from(g[0]) * (at[1] + u64::from(g[1]) * at[2]);
            cta.bars = Default::default();
            self.sh.cluster.blocks[cta.rank as usize] = cta.index as u32;
            for w in &mut cta.warps {
                w.reset(l, cta.at, cta.index, cta.rank, threads);
            }
        }
    }

    /// Runs until the blocks have ended, or a warp has used its turn without coming to a barrier. Says whether they have ended.
    fn run(&mut self, l: &Launch<'_>, st: &mut Stats) -> bool {
        let threads = l.block[0] * l.block[1] * l.block[2];
        let Self { ctas, sh, budget, random } = self;
        loop {
            let (mut progress, mut tired) = (false, false);
            let per = ctas[0].warps.len();
            let n = per * ctas.len();
            let (start, back) = if l.opt.shuffle == 0 {
                (0, false)
            } else {
                let r = draw(random) as usize;
                (r / 2 % n, r % 2 == 1)
            };
            for k in 0..n {
                let i = (start + if back { n - k } else { k }) % n;
                let Cta { warps, bars, at, index, rank } = &mut ctas[i / per];
                let warp = &mut warps[i % per];
                match warp.state {
                    State::Mbar(o, phase) if sh.mbars.get(&o).is_none_or(|m| m.phase != phase) => {
                        warp.state = State::Ready;
                    }
                    State::Cluster(g) if sh.cluster.generation > g => warp.state = State::Ready,
                    _ => {}
                }
                if warp.state != State::Ready {
                    continue;
                }
                progress = true;
                let mut env = Env {
                    l,
                    sh,
                    st,
                    bars,
                    cta: *at,
                    cta_id: *index as u32,
                    rank: *rank,
                    cta_threads: threads,
                    budget: *budget,
                };
                let turn = if l.opt.shuffle == 0 { 200_000 } else { 1 + draw(random) as u32 % 64 };
                let r = warp.run(&mut env, turn);
                *budget = env.budget;
                if r.is_err() || l.halt.load(Relaxed) {
                    return true;
                }
                tired |= warp.state == State::Ready;
                let done = warp.state == State::Done;
                ctas[i / per].release(sh);
                if done && ctas[i / per].ended() {
                    Self::end(l, sh, &ctas[i / per]);
                }
                let opened = sh.open(|gid| {
                    let n = slots(ctas.len(), per);
                    ctas[gid / n].warps.get(gid % n).is_none_or(|w| w.state == State::Done)
                });
                if opened && l.opt.check_race && ctas.len() > 1 {
                    // What the cluster's blocks did to global memory is in order as well.
                    for _ in 0..2 {
                        ctas.iter().for_each(|c| l.order.sync(c.index as u32, 1 << 63 | sh.cluster.index));
                    }
                }
            }
            if tired {
                // Spinning warps wait for what a copy brings.
                if l.opt.shuffle == 0 || draw(random).is_multiple_of(8) {
                    sh.land();
                }
                return false;
            }
            // Bulk copies land when nothing else can go on.
            if !progress && !sh.land() {
                break;
            }
        }
        if !ctas.iter().all(Cta::ended) {
            Self::deadlock(l, ctas, sh);
        }
        true
    }

    /// A block ends: what others do with its shared memory has to be over, and known to be.
    fn end(l: &Launch<'_>, sh: &mut Shared, cta: &Cta) {
        sh.cluster.ended[cta.rank as usize] = true;
        for c in sh.race.unfinished(cta.rank) {
            let text = format!(
                "the block of rank {} ends without an order after the use of its shared memory by {} at {}",
                cta.rank,
                c.who(),
                l.source(c.pc)
            );
            let pc = cta.warps.first().map_or(0, |w| w.at);
            l.found(Kind::Race, pc, cta.at, 0, None, None, text);
        }
    }

    fn deadlock(l: &Launch<'_>, ctas: &[Cta], sh: &Shared) {
        let mut text = String::from("no warp can go on:");
        let mut first = None;
        for cta in ctas {
            if ctas.len() > 1 {
                text += &format!(" block of rank {}:", cta.rank);
            }
            for w in &cta.warps {
                let waits = !matches!(w.state, State::Done | State::Ready);
                first = first.or(waits.then_some((cta.at, w.id, w.at)));
                let at = l.source(w.at);
                match w.state {
                    State::Barrier(b) => {
                        let bar = &cta.bars[b as usize];
                        let need =
                            if bar.expect == 0 { "all threads".to_owned() } else { format!("{} threads", bar.expect) };
                        text += &format!(
                            " warp {} waits at barrier {b} ({} arrived, {need} needed) at {at};",
                            w.id, bar.threads
                        );
                    }
                    State::Done => text += &format!(" warp {} has ended;", w.id),
                    State::Mbar(o, phase) => {
                        let m = sh.mbars.get(&o).cloned().unwrap_or_default();
                        text += &format!(
                            " warp {} waits for phase {phase} of the mbarrier at offset {} ({} arrivals and {} bytes missing) at {at};",
                            w.id,
                            sh.local(o as usize),
                            m.pending,
                            m.tx
                        );
                    }
                    State::Cluster(_) => text += &format!(" warp {} waits at the cluster's barrier at {at};", w.id),
                    State::Ready => {}
                }
            }
        }
        let (cta, id, pc) = first.unwrap_or_default();
        l.found(Kind::Deadlock, pc, cta, id, None, None, text);
        l.halt.store(true, Relaxed);
    }
}

/// Numbers in the cluster that a block's warps take: warpgroups are four warps of one block.
fn slots(blocks: usize, warps: usize) -> usize {
    if blocks > 1 { warps.next_multiple_of(4) } else { warps }
}

impl Warp {
    fn reset(&mut self, l: &Launch<'_>, cta: [u32; 3], index: u64, rank: u32, threads: u32) {
        let (k, c) = (l.k, l.cluster);
        self.w.iter_mut().for_each(|r| *r = [0; 32]);
        self.d.iter_mut().for_each(|r| *r = [0; 32]);
        self.p.iter_mut().for_each(|r| *r = 0);
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
                };
            }
        }
        self.stack.clear();
        self.stack.push(Frame { pc: 0, rpc: PC_END, mask: self.live, wait: false });
        self.local.fill(0xff);
        self.copies.clear();
        self.group = [0; 32];
        self.state = State::Ready;
        self.arrived = None;
        self.at = 0;
        self.asynchronous.fill(Pending::default());
        (self.wgmma_group, self.wgmma_done, self.wgmma_fences) = (1, 0, 0);
    }

    fn end_lanes(&mut self, mask: u32) {
        self.live &= !mask;
        for f in &mut self.stack {
            f.mask &= !mask;
            f.wait = false;
        }
        self.stack.retain(|f| f.mask != 0);
    }

    /// Runs until the warp waits, ends or has had its turn.
    fn run(&mut self, env: &mut Env<'_, '_>, mut turn: u32) -> Run<()> {
        let l = env.l;
        let ins = &l.k.ins[..];
        loop {
            let Some(top) = self.stack.last_mut() else {
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
            let (pc, mask) = (top.pc, top.mask);
            self.at = pc;
            let i = &ins[pc as usize];
            let m = match i.guard {
                NONE => mask,
                g => {
                    let p = self.p[g as usize];
                    mask & if i.guard_not { !p } else { p }
                }
            };
            let flow = if m == 0 && !matches!(i.op, Op::Bra { .. } | Op::Brx { .. }) {
                Flow::Next
            } else {
                if !self.asynchronous.is_empty() {
                    self.watch(env, &l.k.watch[pc as usize]);
                }
                self.step(env, &i.op, mask, m)?
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
                    if matches!(self.state, State::Mbar(..) | State::Cluster(_)) {
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

    /// Makes sure that the lanes an instruction needs are all here: otherwise lets the others come first.
    fn together(&mut self, env: &Env<'_, '_>, have: u32, need: u32, what: &str) -> Run<bool> {
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
        let missing = need & self.live & !have;
        env.stop(
            Kind::Divergence,
            self,
            Some(missing.trailing_zeros()),
            None,
            format!("{what} needs lanes {:#010x} together, only {:#010x} are here", need & self.live, have),
        )
    }

    fn finish_barrier(&mut self, bar: &Bar) {
        // The instruction's result is written when the barrier opens.
        if let Some(f) = self.stack.last_mut() {
            f.pc = self.at + 1;
        }
        if let Some((red, d, mask)) = self.red.take() {
            match (red, d) {
                (BarRed::Popc(_), Reg::W(d)) => put(&mut self.w[d as usize], &[bar.popc; 32], mask),
                (BarRed::And(_), Reg::P(d)) => self.set_p(d, if bar.and { u32::MAX } else { 0 }, mask),
                (BarRed::Or(_), Reg::P(d)) => self.set_p(d, if bar.or { u32::MAX } else { 0 }, mask),
                _ => {}
            }
        }
    }
    #[inline]
    fn set_p(&mut self, d: u32, v: u32, mask: u32) {
        let p = &mut self.p[d as usize];
        *p = (*p & !mask) | (v & mask);
    }
    fn combine(&self, v: u32, with: &Option<(BoolOp, u32, bool)>) -> (u32, u32) {
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
    fn set_pair(&mut self, d: u32, d2: u32, v: u32, with: &Option<(BoolOp, u32, bool)>, mask: u32) {
        let (a, b) = self.combine(v, with);
        self.set_p(d, a, mask);
        if d2 != NONE {
            self.set_p(d2, b, mask);
        }
    }

    #[inline]
    fn addresses(&self, a: &Addr) -> D {
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
    fn get(&self, r: Reg, lane: usize) -> u64 {
        match r {
            Reg::W(r) => u64::from(self.w[r as usize][lane]),
            Reg::D(r) => self.d[r as usize][lane],
            Reg::P(r) => u64::from(self.p[r as usize] >> lane & 1),
        }
    }
    fn set(&mut self, r: Reg, lane: usize, v: u64) {
        match r {
            Reg::W(r) => self.w[r as usize][lane] = v as u32,
            Reg::D(r) => self.d[r as usize][lane] = v,
            Reg::P(_) => {}
        }
    }

    #[allow(clippy::too_many_lines)]
    fn step(&mut self, env: &mut Env<'_, '_>, op: &Op, mask: u32, m: u32) -> Run<Flow> {
        macro_rules! alu {
            ($file:ident, $d:expr, $zero:expr, |$t:ident| $body:expr) => {{
                let mut $t = [$zero; 32];
                $body;
                put(&mut self.$file[*$d as usize], &$t, m);
            }};
        }
        macro_rules! w {
            ($r:expr) => {
                &self.w[*$r as usize]
            };
        }
        macro_rules! d {
            ($r:expr) => {
                &self.d[*$r as usize]
            };
        }
        match op {
            // Fences order nothing here that atomics and flags do not order already.
            Op::Nop | Op::Prefetch | Op::Fence { wide: false } => {}
            Op::Fence { wide: true } => {
                if env.sh.blocks() > 1 {
                    env.sh.race.fence(self.gid);
                }
            }
            Op::Bra { to, rpc } => return Ok(self.branch(*to, *rpc, mask, m)),
            Op::Brx { index, table, rpc } => {
                return self.branch_table(env, *index, table, *rpc, mask, m);
            }
            Op::Exit => {
                // Copies of lanes that end land, as they would.
                if self.live & !m == 0 {
                    for c in std::mem::take(&mut self.copies) {
                        self.land(env, &c, c.mask);
                    }
                }
                let partial = m != mask;
                let pc = self.at;
                if partial && let Some(t) = self.stack.last_mut() {
                    t.pc = pc + 1;
                }
                self.end_lanes(m);
                return Ok(Flow::Jump);
            }
            Op::Trap(s) => {
                return env.stop(Kind::Trap, self, Some(m.trailing_zeros()), None, (*s).to_owned());
            }
            Op::Assert => {
                return env.stop(Kind::Trap, self, Some(m.trailing_zeros()), None, "device assertion failed".into());
            }
            Op::W1 { f, d, a } => alu!(w, d, 0u32, |t| f(w!(a), &mut t)),
            Op::W2 { f, d, a, b } => alu!(w, d, 0u32, |t| f(w!(a), w!(b), &mut t)),
            Op::W3 { f, d, a, b, c } => alu!(w, d, 0u32, |t| f(w!(a), w!(b), w!(c), &mut t)),
            Op::D1 { f, d, a } => alu!(d, d, 0u64, |t| f(d!(a), &mut t)),
            Op::D2 { f, d, a, b } => alu!(d, d, 0u64, |t| f(d!(a), d!(b), &mut t)),
            Op::D3 { f, d, a, b, c } => alu!(d, d, 0u64, |t| f(d!(a), d!(b), d!(c), &mut t)),
            Op::Dw { f, d, a, b } => alu!(d, d, 0u64, |t| f(d!(a), w!(b), &mut t)),
            Op::Dww { f, d, a, b, c } => alu!(d, d, 0u64, |t| f(d!(a), w!(b), w!(c), &mut t)),
            Op::Wd1 { f, d, a } => alu!(w, d, 0u32, |t| f(d!(a), &mut t)),
            Op::Dw1 { f, d, a } => alu!(d, d, 0u64, |t| f(w!(a), &mut t)),
            Op::Wide2 { f, d, a, b } => alu!(d, d, 0u64, |t| f(w!(a), w!(b), &mut t)),
            Op::Wide3 { f, d, a, b, c } => alu!(d, d, 0u64, |t| f(w!(a), w!(b), d!(c), &mut t)),
            Op::FloatX { f, d, a, b, c, ftz, sat } => {
                let load = |r: &u32| {
                    let v = self.w[*r as usize];
                    if *ftz { v.map(flush) } else { v }
                };
                let (va, vb, vc) = (load(a), load(b), load(c));
                let mut t = [0u32; 32];
                match f {
                    FloatFn::F1(f) => f(&va, &mut t),
                    FloatFn::F2(f) => f(&va, &vb, &mut t),
                    FloatFn::F3(f) => f(&va, &vb, &vc, &mut t),
                }
                if *ftz {
                    t = t.map(flush);
                }
                if *sat {
                    t = t.map(|x| {
                        let x = f32::from_bits(x);
                        if x > 0.0 { x.min(1.0).to_bits() } else { 0 }
                    });
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Lop3 { d, a, b, c, lut } => {
                let mut t = [0; 32];
                for (i, x) in t.iter_mut().enumerate() {
                    *x = lop3(w!(a)[i], w!(b)[i], w!(c)[i], *lut);
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Bfi32 { d, a, b, c, e } => {
                let mut t = [0; 32];
                for (i, x) in t.iter_mut().enumerate() {
                    *x = bfi32(w!(a)[i], w!(b)[i], w!(c)[i], w!(e)[i]);
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Bfi64 { d, a, b, c, e } => {
                let mut t = [0; 32];
                for (i, x) in t.iter_mut().enumerate() {
                    *x = bfi64(d!(a)[i], d!(b)[i], w!(c)[i], w!(e)[i]);
                }
                put(&mut self.d[*d as usize], &t, m);
            }
            Op::SetpW { f, d, d2, a, b, with } => {
                let v = f(w!(a), w!(b));
                self.set_pair(*d, *d2, v, with, m);
            }
            Op::SetpD { f, d, d2, a, b, with } => {
                let v = f(d!(a), d!(b));
                self.set_pair(*d, *d2, v, with, m);
            }
            Op::SetpF { f, ty, ftz, d, d2, a, b, with } => {
                let num = |bits: u64| -> f64 {
                    match ty {
                        Ty::F64 => f64::from_bits(bits),
                        Ty::F32 => f64::from(f32::from_bits(if *ftz { flush(bits as u32) } else { bits as u32 })),
                        Ty::F16 => f64::from(half_to_f32(bits as u16)),
                        _ => f64::from(f32::from_bits((bits as u32) << 16)),
                    }
                };
                let mut v = 0;
                for i in 0..32 {
                    v |= u32::from(f(num(self.get(*a, i)), num(self.get(*b, i)))) << i;
                }
                self.set_pair(*d, *d2, v, with, m);
            }
            Op::SetW { f, d, a, b, yes } => {
                let v = f(w!(a), w!(b));
                let t: V = std::array::from_fn(|i| if v >> i & 1 != 0 { *yes } else { 0 });
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::SelW { d, a, b, p, not } => {
                let p = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let mut t = *w!(b);
                put(&mut t, w!(a), p);
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::SelD { d, a, b, p, not } => {
                let p = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let mut t = *d!(b);
                put(&mut t, d!(a), p);
                put(&mut self.d[*d as usize], &t, m);
            }
            Op::P2 { f, d, a, b } => self.set_p(*d, f(self.p[*a as usize], self.p[*b as usize]), m),
            Op::PNot { d, a } => self.set_p(*d, !self.p[*a as usize], m),
            Op::PMov { d, a } => self.set_p(*d, self.p[*a as usize], m),
            Op::PConst { d, v } => self.set_p(*d, if *v { u32::MAX } else { 0 }, m),
            Op::Pack2x16 { d, s } => alu!(w, d, 0u32, |t| for (i, x) in t.iter_mut().enumerate() {
                *x = (w!(&s[0])[i] & 0xffff) | w!(&s[1])[i] << 16;
            }),
            Op::Unpack2x16 { d, s } => {
                let v = *w!(s);
                put(&mut self.w[d[0] as usize], &v.map(|x| x & 0xffff), m);
                put(&mut self.w[d[1] as usize], &v.map(|x| x >> 16), m);
            }
            Op::Pack2x32 { d, s } => alu!(d, d, 0u64, |t| for (i, x) in t.iter_mut().enumerate() {
                *x = u64::from(w!(&s[0])[i]) | u64::from(w!(&s[1])[i]) << 32;
            }),
            Op::Unpack2x32 { d, s } => {
                let v = *d!(s);
                put(&mut self.w[d[0] as usize], &v.map(|x| x as u32), m);
                put(&mut self.w[d[1] as usize], &v.map(|x| (x >> 32) as u32), m);
            }
            Op::Pack4x16 { d, s } => alu!(d, d, 0u64, |t| for (i, x) in t.iter_mut().enumerate() {
                for (k, r) in s.iter().enumerate() {
                    *x |= u64::from(w!(r)[i] & 0xffff) << (16 * k);
                }
            }),
            Op::Unpack4x16 { d, s } => {
                let v = *d!(s);
                for (k, r) in d.iter().enumerate() {
                    put(&mut self.w[*r as usize], &v.map(|x| (x >> (16 * k)) as u32 & 0xffff), m);
                }
            }
            Op::Cvt { dst, src, rnd, to_int, sat, ftz, relu, d, a } => {
                for i in lanes(m) {
                    let mut v = self.get(*a, i);
                    if *ftz && *src == Ty::F32 {
                        v = u64::from(flush(v as u32));
                    }
                    let mut r = convert(*dst, *src, *rnd, *to_int, *sat, v);
                    if *ftz && *dst == Ty::F32 {
                        r = u64::from(flush(r as u32));
                    }
                    if *relu && r & 0x8000 != 0 {
                        r = 0;
                    }
                    // Into a wider register a signed result is sign extended.
                    if dst.signed() && !dst.is64() && matches!(d, Reg::D(_)) {
                        r = r as u32 as i32 as i64 as u64;
                    }
                    self.set(*d, i, r);
                }
            }
            Op::CvtPack { d, hi, lo, bf, rnd, relu } => {
                let one = |x: u32| -> u32 {
                    let x = f32::from_bits(x);
                    let x = if *relu { fmax(x, 0.0) } else { x };
                    convert(if *bf { Ty::BF16 } else { Ty::F16 }, Ty::F32, *rnd, false, false, u64::from(x.to_bits()))
                        as u32
                };
                let near = !*bf && *rnd == Rnd::Near && !*relu;
                let t: V = std::array::from_fn(|i| {
                    let (h, l) = (w!(hi)[i], w!(lo)[i]);
                    if near {
                        u32::from(f32_to_half(f32::from_bits(h))) << 16 | u32::from(f32_to_half(f32::from_bits(l)))
                    } else {
                        one(h) << 16 | one(l)
                    }
                });
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Cvta { to, window, d, a } => {
                let t = d!(a).map(|x| if *to { x.wrapping_sub(*window) } else { x.wrapping_add(*window) });
                put(&mut self.d[*d as usize], &t, m);
            }
            Op::Clock { d } => {
                let ticks = env.l.spent.load(Relaxed).saturating_sub(env.budget);
                let now = env.l.opt.clock + ticks / u64::from(env.l.opt.sms.max(1));
                for i in lanes(m) {
                    self.set(*d, i, now);
                }
            }
            Op::Ld { space, bytes, n, ext, fl, d, a } => self.load(env, *space, *bytes, *n, *ext, *fl, d, a, m)?,
            Op::St { space, bytes, n, fl, s, a } => self.store(env, *space, *bytes, *n, *fl, s, a, m)?,
            Op::Atom { space, op, ty, fl, d, a, b, c } => self.atomic(env, *space, *op, *ty, *fl, *d, a, *b, *c, m)?,
            Op::CpAsync { bytes, bypass, dst, src, src_size, ignore } => {
                self.cp_async(env, *bytes, *bypass, dst, src, *src_size, *ignore, m)?
            }
            Op::CpCommit => {
                for i in lanes(m) {
                    self.group[i] += 1;
                }
                env.sh.race.commit(self.gid);
            }
            Op::CpWait { n } => self.cp_wait(env, Some(*n), m),
            Op::CpWaitAll => self.cp_wait(env, None, m),
            Op::Ldmatrix { n, trans, d, a } => {
                if !self.together(env, m, u32::MAX, "ldmatrix")? {
                    return Ok(Flow::Block);
                }
                self.ldmatrix(env, *n, *trans, d, a)?;
            }
            Op::Stmatrix { n, trans, s, a } => {
                if !self.together(env, m, u32::MAX, "stmatrix")? {
                    return Ok(Flow::Block);
                }
                self.stmatrix(env, *n, *trans, s, a)?;
            }
            Op::Movmatrix { d, a } => {
                if !self.together(env, m, u32::MAX, "movmatrix")? {
                    return Ok(Flow::Block);
                }
                let v = *w!(a);
                let at = |r: usize, c: usize| (v[r * 4 + c / 2] >> (16 * (c & 1))) & 0xffff;
                let t: V = std::array::from_fn(|l| at(2 * (l & 3), l >> 2) | at(2 * (l & 3) + 1, l >> 2) << 16);
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Mma { f, d, a, b, c } => {
                if !self.together(env, m, u32::MAX, "mma")? {
                    return Ok(Flow::Block);
                }
                self.full_warp(env, "mma")?;
                let [na, nb, nc, nd] = f.regs();
                let mut fa = [[0u32; 32]; 4];
                let mut fb = [[0u32; 32]; 2];
                let mut acc = [[0u32; 32]; 4];
                for (to, from) in fa.iter_mut().zip(&a[..na]) {
                    *to = self.w[*from as usize];
                }
                for (to, from) in fb.iter_mut().zip(&b[..nb]) {
                    *to = self.w[*from as usize];
                }
                for (to, from) in acc.iter_mut().zip(&c[..nc]) {
                    *to = self.w[*from as usize];
                }
                mma::mma(f, env.l.rules(false), &fa, &fb, &mut acc);
                for (from, to) in acc.iter().zip(&d[..nd]) {
                    self.w[*to as usize] = *from;
                }
                env.st.c.mma_instructions += 1;
                env.st.c.issued_macs += 128 * f.k() as u64;
            }
            Op::WmmaLoad { part, row, space, d, a, ld } => {
                if !self.together(env, m, u32::MAX, "wmma.load")? {
                    return Ok(Flow::Block);
                }
                self.wmma_load(env, *part, *row, *space, d, a, *ld)?;
            }
            Op::WmmaStore { part, row, space, s, a, ld } => {
                if !self.together(env, m, u32::MAX, "wmma.store")? {
                    return Ok(Flow::Block);
                }
                self.wmma_store(env, *part, *row, *space, s, a, *ld)?;
            }
            Op::WmmaMma { c16, d16, d, a, b, c } => {
                if !self.together(env, m, u32::MAX, "wmma.mma")? {
                    return Ok(Flow::Block);
                }
                self.full_warp(env, "wmma.mma")?;
                let acc_type = |half: bool| if half { mma::Acc::F16 } else { mma::Acc::F32 };
                let form = mma::Form {
                    a: mma::El::F16,
                    b: mma::El::F16,
                    deep: true,
                    c: acc_type(*c16),
                    d: acc_type(*d16),
                    saturate: false,
                };
                let fa: [V; 4] = std::array::from_fn(|i| self.w[a[i] as usize]);
                for half in 0..2 {
                    let fb: [V; 2] = std::array::from_fn(|i| self.w[b[2 * half + i] as usize]);
                    let mut acc = [[0u32; 32]; 4];
                    let nc = if *c16 { 2 } else { 4 };
                    for i in 0..nc {
                        acc[i] = self.w[c[nc * half + i] as usize];
                    }
                    mma::mma(&form, env.l.rules(false), &fa, &fb, &mut acc);
                    let nd = if *d16 { 2 } else { 4 };
                    for i in 0..nd {
                        self.w[d[nd * half + i] as usize] = acc[i];
                    }
                }
                env.st.c.mma_instructions += 1;
                env.st.c.issued_macs += 4096;
            }
            Op::Vote { op, d, p, not, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "vote")? {
                    return Ok(Flow::Block);
                }
                let v = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let q = need & m;
                let yes = v & q;
                match (op, d) {
                    (VoteOp::Ballot, Reg::W(d)) => put(&mut self.w[*d as usize], &[yes; 32], m),
                    (op, Reg::P(d)) => {
                        let r = match op {
                            VoteOp::All => yes == q,
                            VoteOp::Any => yes != 0,
                            _ => yes == q || yes == 0,
                        };
                        self.set_p(*d, if r { u32::MAX } else { 0 }, m);
                    }
                    _ => {}
                }
            }
            Op::Shfl { op, d, p, a, b, c, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "shfl")? {
                    return Ok(Flow::Block);
                }
                let (va, vb, vc) = (*w!(a), *w!(b), *w!(c));
                let mut t = va;
                let mut ok = 0u32;
                for i in lanes(m) {
                    let seg = vc[i] >> 8 & 31;
                    let clamp = vc[i] & 31;
                    let lane = i as u32;
                    let max = (lane & seg) | (clamp & !seg);
                    let min = lane & seg;
                    let b = vb[i] & 31;
                    let (j, inside) = match op {
                        ShflOp::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= max as i32),
                        ShflOp::Down => (lane + b, lane + b <= max),
                        ShflOp::Bfly => (lane ^ b, lane ^ b <= max),
                        ShflOp::Idx => (min | (b & !seg), (min | (b & !seg)) <= max),
                    };
                    let j = if inside { j & 31 } else { lane };
                    if inside {
                        ok |= 1 << i;
                    }
                    t[i] = va[j as usize];
                    if m >> j & 1 == 0 && self.live >> j & 1 != 0 {
                        return env.stop(
                            Kind::Divergence,
                            self,
                            Some(lane),
                            None,
                            format!("shfl reads lane {j}, which does not take part"),
                        );
                    }
                }
                put(&mut self.w[*d as usize], &t, m);
                if *p != NONE {
                    self.set_p(*p, ok, m);
                }
            }
            Op::Match { all, wide, d, p, a, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "match")? {
                    return Ok(Flow::Block);
                }
                let v: D =
                    std::array::from_fn(
                        |i| {
                            if *wide { self.d[*a as usize][i] } else { u64::from(self.w[*a as usize][i]) }
                        },
                    );
                let q = need & m;
                let mut t = [0; 32];
                for i in lanes(q) {
                    t[i] = lanes(q).filter(|j| v[*j] == v[i]).fold(0, |s, j| s | 1 << j);
                }
                if *all {
                    let same = lanes(q).all(|i| t[i] == q);
                    t = [if same { q } else { 0 }; 32];
                    if *p != NONE {
                        self.set_p(*p, if same { u32::MAX } else { 0 }, m);
                    }
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Redux { op, d, a, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "redux")? {
                    return Ok(Flow::Block);
                }
                let v = *w!(a);
                let r = lanes(need & m).map(|i| v[i]).reduce(|x, y| match op {
                    ReduxOp::AddU => x.wrapping_add(y),
                    ReduxOp::MinU => x.min(y),
                    ReduxOp::MaxU => x.max(y),
                    ReduxOp::MinS => (x as i32).min(y as i32) as u32,
                    ReduxOp::MaxS => (x as i32).max(y as i32) as u32,
                    ReduxOp::And => x & y,
                    ReduxOp::Or => x | y,
                    ReduxOp::Xor => x ^ y,
                });
                put(&mut self.w[*d as usize], &[r.unwrap_or(0); 32], m);
            }
            Op::Mbar { kind, a, remote, count, tx, d } => self.mbar(env, *kind, a, *remote, *count, *tx, *d, m)?,
            Op::MbarWait { a, parity, blocking, p, v } => return self.mbar_wait(env, a, *parity, *blocking, *p, *v, m),
            Op::FenceAsync => env.sh.race.fence_async(self.gid),
            Op::BulkLoad { dst, src, coords, bytes, mbar, mask } => {
                self.bulk_load(env, dst, src, coords, *bytes, mbar, *mask, m)?
            }
            Op::BulkStore { dst, src, coords, bytes } => self.bulk_store(env, dst, src, coords, *bytes, m)?,
            Op::SetMaxNReg => {}
            Op::BulkCommit => env.sh.race.bulk_commit(self.gid),
            Op::WgmmaFence => self.wgmma_fences += 1,
            // Copies out of shared memory are done when they are issued; the wait is for the order.
            Op::BulkWait { n } => env.sh.race.bulk_waited(self.gid, *n),
            Op::WgmmaCommit => {
                env.sh.race.wgmma_commit(self.gid);
                self.wgmma_group += 1;
            }
            Op::WgmmaWait { n } => {
                env.sh.race.wgmma_waited(self.gid, *n);
                self.wgmma_done = self.wgmma_done.max((self.wgmma_group - 1).saturating_sub(*n));
            }
            Op::Wgmma(g) => {
                if !self.together(env, m, u32::MAX, "wgmma")? {
                    return Ok(Flow::Block);
                }
                self.wgmma(env, g)?;
            }
            Op::Activemask { d } => put(&mut self.w[*d as usize], &[m; 32], m),
            Op::ClusterArrive { relaxed } => {
                if !self.together(env, m, u32::MAX, "barrier.cluster.arrive")? {
                    return Ok(Flow::Block);
                }
                if self.arrived.is_some() {
                    let text = "a second arrival at the cluster's barrier, with no wait after the first";
                    return env.stop(Kind::Trap, self, None, None, text.into());
                }
                let place = 16 * env.sh.blocks() as usize;
                if *relaxed {
                    env.sh.race.barrier_arrive_relaxed(place, self.gid);
                } else {
                    env.sh.race.barrier_arrive(place, self.gid);
                }
                self.arrived = Some(env.sh.cluster.generation);
                env.sh.cluster.arrived[self.gid as usize] = true;
                env.st.c.barriers += 1;
            }
            Op::ClusterWait => {
                if !self.together(env, m, u32::MAX, "barrier.cluster.wait")? {
                    return Ok(Flow::Block);
                }
                let Some(g) = self.arrived else {
                    let text = "a wait at the cluster's barrier with no arrival before";
                    return env.stop(Kind::Trap, self, None, None, text.into());
                };
                if env.sh.cluster.generation <= g {
                    self.state = State::Cluster(g);
                    return Ok(Flow::Block);
                }
                self.arrived = None;
                let place = 16 * env.sh.blocks() as usize;
                env.sh.race.barrier_pass(place, self.gid);
            }
            Op::Mapa { d, a, rank } => {
                for i in lanes(m) {
                    let r = self.w[*rank as usize][i];
                    if r >= env.sh.blocks() {
                        let text = format!("mapa to rank {r} in a cluster of {} blocks", env.sh.blocks());
                        return env.stop(Kind::OutOfBounds, self, Some(i as u32), None, text);
                    }
                    // A generic address keeps its window; the rank, plus one, stands above 24 bits of offset.
                    let v = self.get(*a, i) & !0xff00_0000;
                    self.set(*d, i, v | u64::from(r + 1) << 24);
                }
            }
            Op::Ctarank { d, a } => {
                for i in lanes(m) {
                    let r = self.get(*a, i) as u32 >> 24;
                    self.w[*d as usize][i] = if r == 0 { env.rank } else { r - 1 };
                }
            }
            Op::Elect { d, p, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "elect")? {
                    return Ok(Flow::Block);
                }
                let leader = (need & m).trailing_zeros();
                if *d != NONE {
                    put(&mut self.w[*d as usize], &[leader; 32], m);
                }
                self.set_p(*p, 1u32.checked_shl(leader).unwrap_or(0), m);
            }
            Op::WarpSync { mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "bar.warp.sync")? {
                    return Ok(Flow::Block);
                }
            }
            Op::Bar { id, count, arrive, red, not, d } => {
                return self.barrier(env, *id, *count, *arrive, *red, *not, *d, m);
            }
        }
        Ok(Flow::Next)
    }

    fn full_warp(&self, env: &Env<'_, '_>, what: &str) -> Run<()> {
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

    fn branch(&mut self, to: u32, rpc: u32, mask: u32, taken: u32) -> Flow {
        let n = self.stack.len() - 1;
        let pc = self.at;
        // Where the paths never meet, they meet at the latest where the branch around them does.
        let rpc = if rpc == PC_END { self.stack[n].rpc } else { rpc };
        let not = mask & !taken;
        if not == 0 {
            self.stack[n].pc = to;
        } else if taken == 0 {
            self.stack[n].pc = pc + 1;
        } else {
            if rpc == PC_END || (self.stack[n].rpc == rpc && n > 0) {
                self.stack.pop();
            } else {
                self.stack[n].pc = rpc;
            }
            // The path that stands first in the text runs first.
            let (a, b) =
                (Frame { pc: pc + 1, rpc, mask: not, wait: false }, Frame { pc: to, rpc, mask: taken, wait: false });
            for f in if to > pc { [b, a] } else { [a, b] } {
                if f.pc != rpc {
                    self.stack.push(f);
                }
            }
        }
        Flow::Jump
    }

    fn branch_table(&mut self, env: &Env<'_, '_>, index: u32, table: &[u32], rpc: u32, mask: u32, m: u32) -> Run<Flow> {
        let v = self.w[index as usize];
        let mut groups: Vec<(u32, u32)> = Vec::new();
        let mut add = |to: u32, bit: u32| match groups.iter_mut().find(|g| g.0 == to) {
            Some(g) => g.1 |= bit,
            None => groups.push((to, bit)),
        };
        for i in lanes(mask) {
            if m >> i & 1 == 0 {
                add(self.at + 1, 1 << i);
                continue;
            }
            match table.get(v[i] as usize) {
                Some(t) => add(*t, 1 << i),
                None => {
                    return env.stop(
                        Kind::Trap,
                        self,
                        Some(i as u32),
                        None,
                        format!("index {} beyond a branch table of {}", v[i], table.len()),
                    );
                }
            }
        }
        let n = self.stack.len() - 1;
        let rpc = if rpc == PC_END { self.stack[n].rpc } else { rpc };
        if groups.len() == 1 {
            self.stack[n].pc = groups[0].0;
            return Ok(Flow::Jump);
        }
        if rpc == PC_END || (self.stack[n].rpc == rpc && n > 0) {
            self.stack.pop();
        } else {
            self.stack[n].pc = rpc;
        }
        for (pc, mask) in groups {
            if pc != rpc {
                self.stack.push(Frame { pc, rpc, mask, wait: false });
            }
        }
        Ok(Flow::Jump)
    }

    #[allow(clippy::too_many_arguments)]
    fn barrier(
        &mut self,
        env: &mut Env<'_, '_>,
        id: u32,
        count: u32,
        arrive: bool,
        red: BarRed,
        not: bool,
        d: Reg,
        m: u32,
    ) -> Run<Flow> {
        if !self.together(env, m, u32::MAX, "a barrier")? {
            return Ok(Flow::Block);
        }
        let lane = m.trailing_zeros() as usize;
        let b = self.w[id as usize][lane];
        if b > 15 {
            return env.stop(Kind::Trap, self, Some(lane as u32), None, format!("barrier {b}: there are 16"));
        }
        let expect = if count == NONE { 0 } else { self.w[count as usize][lane] };
        if count != NONE && (expect == 0 || expect % 32 != 0) {
            return env.stop(
                Kind::Trap,
                self,
                Some(lane as u32),
                None,
                format!("a barrier for {expect} threads: a multiple of 32 is needed"),
            );
        }
        if expect > env.cta_threads.div_ceil(32) * 32 {
            return env.stop(
                Kind::Deadlock,
                self,
                Some(lane as u32),
                None,
                format!("a barrier for {expect} threads in a block of {}", env.cta_threads),
            );
        }
        env.st.c.barriers += 1;
        let bar = &mut env.bars[b as usize];
        if bar.arrived_warps != 0 && bar.expect != expect {
            let e = bar.expect;
            return env.stop(
                Kind::Deadlock,
                self,
                Some(lane as u32),
                None,
                format!("barrier {b} is awaited for {e} and for {expect} threads (0: all)"),
            );
        }
        let bar = &mut env.bars[b as usize];
        if bar.arrived_warps == 0 {
            bar.and = true;
        }
        bar.expect = expect;
        bar.arrived_warps |= 1 << self.id;
        bar.threads += 32;
        let live = m;
        if let BarRed::Popc(p) | BarRed::And(p) | BarRed::Or(p) = red {
            let v = self.p[p as usize] ^ if not { u32::MAX } else { 0 };
            bar.popc += (v & live).count_ones();
            bar.and &= v & live == live;
            bar.or |= v & live != 0;
        }
        env.sh.race.barrier_arrive((16 * env.rank + b) as usize, self.gid);
        if arrive {
            return Ok(Flow::Next);
        }
        bar.waiting += 1;
        self.red = if red == BarRed::None { None } else { Some((red, d, m)) };
        self.state = State::Barrier(b);
        Ok(Flow::Block)
    }
}

fn words(b: &[u8; 16]) -> [u32; 4] {
    std::array::from_fn(|i| u32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]]))
}
fn bytes_of(w: &[u32; 4]) -> [u8; 16] {
    std::array::from_fn(|i| (w[i / 4] >> (8 * (i & 3))) as u8)
}
/// `per` bytes at a byte offset of a lane's data.
#[inline]
fn pick(d: &[u32; 4], at: usize, per: usize) -> u64 {
    match per {
        4 => u64::from(d[at / 4]),
        8 => u64::from(d[at / 4]) | u64::from(d[at / 4 + 1]) << 32,
        _ => u64::from(d[at / 4] >> (8 * (at & 3))) & ((1 << (8 * per)) - 1),
    }
}
#[inline]
fn stuff(d: &mut [u32; 4], at: usize, per: usize, v: u64) {
    match per {
        4 => d[at / 4] = v as u32,
        8 => {
            d[at / 4] = v as u32;
            d[at / 4 + 1] = (v >> 32) as u32;
        }
        _ => d[at / 4] |= ((v & ((1 << (8 * per)) - 1)) as u32) << (8 * (at & 3)),
    }
}

/// The new value of an atomic operation.
pub(crate) fn atom(op: AtomOp, ty: Ty, old: u64, b: u64, c: u64) -> u64 {
    let (o32, b32) = (old as u32, b as u32);
    match (op, ty) {
        (AtomOp::Exch, _) => b,
        (AtomOp::Cas, _) => {
            let m = if ty.is64() { u64::MAX } else { (1u64 << (8 * ty.bytes())) - 1 };
            if old & m == b & m { c } else { old }
        }
        (AtomOp::And, _) => old & b,
        (AtomOp::Or, _) => old | b,
        (AtomOp::Xor, _) => old ^ b,
        (AtomOp::Inc, _) => u64::from(if o32 >= b32 { 0 } else { o32 + 1 }),
        (AtomOp::Dec, _) => u64::from(if o32 == 0 || o32 > b32 { b32 } else { o32 - 1 }),
        (AtomOp::Add, Ty::F32) => u64::from((f32::from_bits(o32) + f32::from_bits(b32)).to_bits()),
        (AtomOp::Add, Ty::F64) => (f64::from_bits(old) + f64::from_bits(b)).to_bits(),
        (AtomOp::Add, Ty::F16) => u64::from(f32_to_half(half_to_f32(o32 as u16) + half_to_f32(b32 as u16))),
        (AtomOp::Add, Ty::F16x2) => {
            let f = |s: u32| u32::from(f32_to_half(half_to_f32((o32 >> s) as u16) + half_to_f32((b32 >> s) as u16)));
            u64::from(f(0) | f(16) << 16)
        }
        (AtomOp::Add, Ty::BF16 | Ty::BF16x2) => {
            let f =
                |s: u32| u32::from(f32_to_bf16(f32::from_bits((o32 >> s) << 16) + f32::from_bits((b32 >> s) << 16)));
            u64::from(if ty == Ty::BF16 { f(0) } else { f(0) | f(16) << 16 })
        }
        (AtomOp::Add, t) if t.is64() => old.wrapping_add(b),
        (AtomOp::Add, _) => u64::from(o32.wrapping_add(b32)),
        (AtomOp::Min, Ty::S64) => (old as i64).min(b as i64) as u64,
        (AtomOp::Max, Ty::S64) => (old as i64).max(b as i64) as u64,
        (AtomOp::Min, Ty::S32) => u64::from((o32 as i32).min(b32 as i32) as u32),
        (AtomOp::Max, Ty::S32) => u64::from((o32 as i32).max(b32 as i32) as u32),
        (AtomOp::Min, _) => old.min(b),
        (AtomOp::Max, _) => old.max(b),
    }
}

/// Counts the sectors of a request.
fn count_global(c: &mut GlobalAccess, addrs: &D, size: u32, m: u32) {
    c.requests += 1;
    let n = u64::from(m.count_ones());
    c.bytes += n * u64::from(size);
    c.width[size.trailing_zeros() as usize] += n;
    let mut seen = [0u64; 33];
    let mut k = 0usize;
    let mut last = u64::MAX;
    for i in lanes(m) {
        let s = addrs[i] >> 5;
        if s == last {
            continue;
        }
        last = s;
        if !seen[..k].contains(&s) {
            seen[k] = s;
            k += 1;
        }
    }
    c.sectors += k as u64;
}

fn count_shared(c: &mut SharedAccess, offs: &V, size: u32, m: u32) {
    c.requests += 1;
    let (w, i) = wavefronts(offs, size, m);
    c.wavefronts += w;
    c.ideal += i;
}
