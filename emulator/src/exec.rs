//! Running a kernel: warps in lockstep, blocks one after another or on several host threads.

mod atomic;
mod barrier;
mod branch;
mod bulk;
mod group;
mod held;
mod matrix;
mod mbar;
mod memory;
mod print;
mod spin;
mod step;
mod tensormap;
mod undefined;
mod warp;
mod wgmma;

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
pub(crate) use atomic::atom;
use barrier::Bar;
use group::{Group, block_at};
use memory::*;
pub(crate) use spin::idle;
use warp::*;

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
    /// Blocks of one host thread that take turns where one of them keeps running, so that a block can wait for a later one; more where
    /// none of them comes to its end. With one, blocks run one after another.
    pub resident: usize,
    /// Whether launches are cooperative: a kernel that asks for the grid's workspace gets one, and `grid.sync()` works.
    pub cooperative: bool,
    /// Findings kept; more are only counted.
    pub max_findings: usize,
    /// Multiprocessors of the device that is emulated, for `%nsmid` and `%smid`.
    pub sms: u32,
    /// Where the device's clocks stand when a launch begins: `%globaltimer` in nanoseconds, `%clock64` at one a nanosecond.
    pub clock: u64,
    /// Races that are meant: names of kernels, or parts of `file:line` source positions.
    pub allow_race: Vec<String>,
    /// Other than zero: warps run in a random order and for a random time each, which this number decides. A kernel without races
    /// gives the same results with every number, and the same counters but for loops that wait: how often a flag or an
    /// `mbarrier.try_wait` is asked depends on the order.
    pub shuffle: u64,
    /// Bulk copies land when they are issued, and not when nothing else can run. Neither order may make a difference.
    pub copies_land_early: bool,
    /// Outputs every byte of which has to be written once.
    pub written_once: Vec<crate::Region>,
    /// Launches that write those outputs together, each its part: what is missing is told after so many. Zero and one are each
    /// launch alone.
    pub written_by: u32,
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
            cooperative: true,
            max_findings: 64,
            sms: 4,
            clock: 0,
            allow_race: Vec::new(),
            shuffle: 0,
            copies_land_early: false,
            written_once: Vec::new(),
            written_by: 1,
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
    /// Whether the launch or the kernel asked for clusters.
    pub clustered: bool,
    pub dyn_shared: u32,
    /// The address of the grid's workspace, zero where the launch is not cooperative.
    pub workspace: u64,
    pub opt: &'a Options,
    /// What the kernel has printed.
    pub printed: Mutex<String>,
    pub findings: Mutex<Found>,
    pub halt: AtomicBool,
    pub spent: AtomicU64,
    /// Counts whatever a warp that waits in a loop could notice.
    pub changes: AtomicU64,
    pub atomics: Mutex<()>,
    pub order: crate::order::GridOrder,
    pub cover: &'a crate::coverage::Coverage,
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
    /// The number in the grid of the block of a rank in a cluster.
    pub fn block_number(&self, group: u32, rank: u32) -> u64 {
        let at = block_at(self, u64::from(group), rank).map(u64::from);
        at[0] + u64::from(self.grid[0]) * (at[1] + u64::from(self.grid[1]) * at[2])
    }
    pub fn source(&self, pc: u32) -> String {
        self.k.ins.get(pc as usize).map_or_else(String::new, |i| loc_text(self.files, i.loc))
    }
    /// Where an instruction stands, in the source or, where nothing is known of that, in the PTX.
    pub fn place(&self, pc: u32) -> String {
        match self.k.ins.get(pc as usize) {
            Some(i) if i.loc.line == 0 => format!("PTX line {}", i.ptx_line),
            _ => self.source(pc),
        }
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
        // Of every host thread the count of changes at which all its blocks waited, plus one; zero while they do not.
        let stuck: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
        let work = |me: usize| {
            let mut st = Stats { pc: vec![(0, 0); self.k.ins.len()], ..Stats::default() };
            let mut free: Vec<Group> = Vec::new();
            let mut running: std::collections::VecDeque<Group> = std::collections::VecDeque::new();
            // Blocks that all keep running wait for one that has not begun, as at a barrier of the whole grid: then there are more.
            let mut resident = if self.workspace == 0 { self.opt.resident.max(1) } else { usize::MAX };
            let patience: usize = if self.opt.shuffle == 0 { 2 } else { 256 };
            let mut turns = 0;
            let mut quiet = 0;
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
                    quiet = 0;
                    st.c.blocks += c.ctas.len() as u64;
                    c
                } else if let Some(c) = running.pop_front() {
                    c
                } else {
                    break;
                };
                stuck[me].store(0, Relaxed);
                if cta.run(self, &mut st) {
                    free.push(cta);
                    (turns, quiet) = (0, 0);
                } else {
                    let changes = self.changes.load(Relaxed);
                    quiet = if cta.stuck == Some(changes) { quiet + 1 } else { 0 };
                    running.push_back(cta);
                    turns += 1;
                    if quiet >= running.len() {
                        if next.load(Relaxed) < total && resident > 1 {
                            resident = resident.max(running.len()).saturating_mul(2);
                            continue;
                        }
                        stuck[me].store(changes + 1, Relaxed);
                        let all = |s: &AtomicU64| matches!(s.load(Relaxed), n if n == changes + 1 || n == u64::MAX);
                        if stuck.iter().all(all) && self.changes.load(Relaxed) == changes {
                            Group::deadlock_of(self, &running);
                        } else {
                            std::thread::sleep(std::time::Duration::from_micros(50));
                        }
                        continue;
                    }
                    if resident > 1 && turns > patience.saturating_mul(resident) {
                        resident = resident.saturating_mul(2);
                        turns = 0;
                    }
                }
            }
            stuck[me].store(u64::MAX, Relaxed);
            st
        };
        let all: Vec<Stats> = if threads == 1 {
            vec![work(0)]
        } else {
            std::thread::scope(|s| {
                let work = &work;
                let h: Vec<_> = (0..threads).map(|me| s.spawn(move || work(me))).collect();
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
        if let Ok(mut p) = self.printed.lock() {
            report.printed = std::mem::take(&mut p);
        }
        if let Ok(mut f) = self.findings.lock() {
            report.findings = std::mem::take(&mut f.list);
            report.fault = f.fault;
        }
        report
    }
}
