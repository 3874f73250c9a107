//! The shared memory of a block: bytes, their state, and the bank model.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use crate::alu::{Ty, V};
use crate::exec::atom;
use crate::ins::AtomOp;
use crate::mem::Memory;
use crate::mma::Rows;
use crate::race::{Order, Race};

const NEVER: u8 = 0;
const READY: u8 = 1;
const COMING: u8 = 2;

/// The state of an mbarrier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mbar {
    pub expected: u32,
    pub pending: u32,
    pub tx: i64,
    pub phase: u64,
    /// Whether somebody has seen the end of the latest phase, and the phase that nobody saw end before the next one did.
    pub seen: bool,
    pub unseen: Option<u64>,
    pub order: Order,
    pub done: Order,
    /// Who has arrived in this phase: warp, instruction and how often.
    pub arrivals: Vec<(u32, u32, u32)>,
    /// Whether somebody has left it for good: the phases that follow need not be seen.
    pub dropped: bool,
}

impl Mbar {
    /// Notes an arrival, for the report of a deadlock.
    pub fn came(&mut self, warp: u32, pc: u32, n: u32) {
        match self.arrivals.iter_mut().find(|a| a.0 == warp && a.1 == pc) {
            Some(a) => a.2 += n,
            None => self.arrivals.push((warp, pc, n)),
        }
    }
    /// Opens the next phase where this one is complete.
    pub fn settle(&mut self) {
        if self.pending == 0 && self.tx == 0 {
            if self.phase > 0 && !self.seen && !self.dropped {
                self.unseen = Some(self.phase - 1);
            }
            self.seen = false;
            self.phase += 1;
            self.arrivals.clear();
            self.pending = self.expected;
            self.done = std::mem::take(&mut self.order);
        }
    }
}

/// Something asynchronous on its way.
pub(crate) struct Flight {
    pub what: What,
    /// The warp that set it going, by its number in the cluster, and its lane.
    pub warp: u32,
    pub lane: u32,
    pub clock: u32,
    /// The bulk group it belongs to.
    pub group: u32,
}

pub(crate) enum What {
    /// A bulk copy into shared memory: offsets and the sixteen bytes, or fewer, that go there, with what to do to what is there.
    Into { parts: Vec<(u32, u32, [u32; 4])>, red: Option<(AtomOp, Ty)>, mbar: u32, bytes: u32 },
    /// As `Into` from the block's own shared memory, which is read when the copy lands: pairs of offsets of source and target.
    Across { parts: Vec<(u32, u32)>, red: Option<(AtomOp, Ty)>, mbar: u32, bytes: u32, read_clock: u32 },
    /// A bulk copy out of shared memory: offsets, addresses and bytes.
    OutOf { parts: Vec<(u32, u64, u32)>, red: Option<(AtomOp, Ty)> },
    /// Arrivals at an mbarrier when the `cp.async` copies given here have landed: offsets, bytes, data.
    Arrive { parts: Vec<(u32, u32, [u32; 4])>, mbar: u32, arrivals: u32 },
}

/// A wgmma of a warpgroup.
pub(crate) struct Product {
    /// Its number among those of the warpgroup.
    pub number: u64,
    /// The descriptors of A, where it lies in shared memory, and of B.
    pub a: Option<u64>,
    pub b: u64,
    /// Warps that have not computed their part.
    pub left: u32,
    /// The rows of A for each warp and B by depth, once they have been read.
    pub data: Option<(Vec<Rows>, Vec<f32>)>,
}

/// What the blocks of a cluster share besides their memory.
#[derive(Default)]
pub(crate) struct Cluster {
    /// Barriers of the cluster that have completed.
    pub generation: u64,
    /// Warps that have arrived at the next, by their number in the cluster.
    pub arrived: Vec<bool>,
    /// Blocks that have ended, by rank.
    pub ended: Vec<bool>,
    /// Numbers of the blocks in the grid, by rank.
    pub blocks: Vec<u32>,
}

/// The shared memory of a block, or of the blocks of a cluster one after another.
pub(crate) struct Shared {
    /// Bytes of a block, and from one block's to the next's.
    size: usize,
    stride: usize,
    pub cluster: Cluster,
    data: Vec<u8>,
    state: Vec<u8>,
    track: bool,
    /// The swizzle with which a tensor copy wrote sixteen bytes, plus one; zero where threads or other copies did. Empty until there
    /// is such a copy.
    swizzle: Vec<u8>,
    pub race: Race,
    pub mbars: BTreeMap<u32, Mbar>,
    /// Of every warp, by its number in the cluster, how many wgmmas it has come to, and the latest.
    pub wgmmas: Vec<(u64, u32)>,
    /// Registers a thread that setmaxnreg has given back, of one warp, by the rank of the block.
    pub registers: Vec<u32>,
    /// Of every warpgroup the wgmmas that some of its warps have not computed yet.
    pub products: Vec<VecDeque<Product>>,
    /// What has not landed, oldest first.
    pub flying: VecDeque<Flight>,
}

impl Shared {
    pub fn new(size: u32, warps: u32, blocks: u32, track: bool, race: bool) -> Self {
        // Banks repeat every 128 bytes; nothing else depends on where a block's memory begins.
        let stride = if blocks > 1 { size.next_multiple_of(1024) } else { size };
        let all = stride * blocks;
        Self {
            size: size as usize,
            stride: stride as usize,
            cluster: Cluster {
                arrived: vec![false; (warps * blocks) as usize],
                ended: vec![false; blocks as usize],
                blocks: vec![0; blocks as usize],
                ..Cluster::default()
            },
            data: vec![0xff; all as usize],
            state: vec![NEVER; all as usize],
            track,
            swizzle: Vec::new(),
            race: Race::new(all, warps, blocks, race),
            mbars: BTreeMap::new(),
            wgmmas: vec![(0, 0); (warps * blocks) as usize],
            registers: vec![0; blocks as usize],
            products: (0..(warps * blocks).div_ceil(4)).map(|_| VecDeque::new()).collect(),
            flying: VecDeque::new(),
        }
    }
    /// Whether all four warps of a warp's warpgroup have come to their wgmma of a number.
    pub fn warpgroup_is_at(&self, gid: u32, n: u64) -> bool {
        let first = (gid / 4 * 4) as usize;
        self.wgmmas[first..(first + 4).min(self.wgmmas.len())].iter().all(|w| w.0 >= n)
    }
    /// Blocks of the cluster.
    pub fn blocks(&self) -> u32 {
        self.cluster.ended.len() as u32
    }
    /// Numbers that a block's warps take in the cluster.
    pub fn warps_of_a_block(&self) -> u32 {
        (self.cluster.arrived.len() / self.cluster.ended.len()) as u32
    }
    /// Where the memory of the block of a rank begins.
    pub fn start(&self, rank: u32) -> usize {
        rank as usize * self.stride
    }
    /// The offset in its block of a place in the cluster's memory.
    pub fn local(&self, o: usize) -> usize {
        if self.stride == 0 { o } else { o % self.stride }
    }
    /// Lets the cluster's barrier open where every warp has come.
    pub fn open(&mut self, done: impl Fn(usize) -> bool) {
        let c = &mut self.cluster;
        if !c.arrived.contains(&true) || !c.arrived.iter().enumerate().all(|(w, a)| *a || done(w)) {
            return;
        }
        c.arrived.fill(false);
        c.generation += 1;
        let b = 16 * c.ended.len();
        self.race.barrier_done(b);
    }
    pub fn reset(&mut self) {
        self.data.fill(0xff);
        self.state.fill(NEVER);
        self.swizzle.clear();
        self.race.reset();
        self.mbars.clear();
        self.wgmmas.fill((0, 0));
        self.registers.fill(0);
        self.products.iter_mut().for_each(VecDeque::clear);
        self.flying.clear();
        self.cluster.arrived.fill(false);
        self.cluster.ended.fill(false);
        self.cluster.generation = 0;
    }
    /// Lets the oldest flight land, or with a random number any.
    pub fn land(&mut self, mem: &Memory, atomics: &Mutex<()>, random: Option<u64>) -> bool {
        let n = self.flying.len();
        let i = random.map_or(0, |r| if n == 0 { 0 } else { (r % n as u64) as usize });
        match self.flying.remove(i) {
            Some(f) => {
                self.finish(f, mem, atomics);
                true
            }
            None => false,
        }
    }
    /// Lets all flights land that a test picks.
    pub fn land_those(&mut self, mem: &Memory, atomics: &Mutex<()>, pick: impl Fn(&Flight) -> bool) {
        let mut i = 0;
        while i < self.flying.len() {
            if pick(&self.flying[i])
                && let Some(f) = self.flying.remove(i)
            {
                self.finish(f, mem, atomics);
            } else {
                i += 1;
            }
        }
    }
    fn put_reduced(&mut self, o: u32, n: u32, v: &[u32; 4], red: Option<(AtomOp, Ty)>) {
        let v = red.map_or(*v, |r| reduced(&self.read(o as usize, n), v, n, r));
        self.put(o as usize, n, &v);
    }
    fn finish(&mut self, f: Flight, mem: &Memory, atomics: &Mutex<()>) {
        match f.what {
            What::Into { parts, red, mbar, bytes } => {
                for (o, n, v) in &parts {
                    self.put_reduced(*o, *n, v, red);
                }
                if let Some(m) = self.mbars.get_mut(&mbar) {
                    m.tx -= i64::from(bytes);
                    self.race.bulk_landed(f.warp, f.clock, &mut m.order);
                    m.settle();
                }
            }
            What::Across { parts, red, mbar, bytes, read_clock } => {
                for (from, to) in &parts {
                    let v = self.read(*from as usize, 16);
                    self.put_reduced(*to, 16, &v, red);
                }
                if let Some(m) = self.mbars.get_mut(&mbar) {
                    m.tx -= i64::from(bytes);
                    self.race.bulk_landed(f.warp, f.clock, &mut m.order);
                    self.race.store_landed(f.warp, read_clock, &mut m.order);
                    m.settle();
                }
            }
            What::OutOf { parts, red } => {
                let mut hint = 0;
                for (o, addr, n) in parts {
                    let v = self.read(o as usize, n);
                    // The address was checked when the copy was issued.
                    if let Some(al) = mem.find(addr, &mut hint) {
                        let off = addr - al.base;
                        match red {
                            None => al.write(off, n, &v),
                            Some(r) => {
                                let _one_at_a_time = atomics.lock();
                                al.write(off, n, &reduced(&al.read(off, n), &v, n, r));
                            }
                        }
                    }
                }
            }
            What::Arrive { parts, mbar, arrivals } => {
                for (o, n, v) in &parts {
                    self.write(*o as usize, *n, v);
                }
                if let Some(m) = self.mbars.get_mut(&mbar) {
                    self.race.copies_landed(f.warp, f.clock, &mut m.order);
                    m.pending = m.pending.saturating_sub(arrivals);
                    m.settle();
                }
            }
        }
    }
    /// Bytes of one block.
    pub fn size(&self) -> usize {
        self.size
    }
    /// Up to 16 bytes at an offset that has been checked.
    #[inline]
    pub fn read(&self, o: usize, size: u32) -> [u32; 4] {
        let mut b = [0u8; 16];
        match size {
            16 => b.copy_from_slice(&self.data[o..o + 16]),
            4 => b[..4].copy_from_slice(&self.data[o..o + 4]),
            n => b[..n as usize].copy_from_slice(&self.data[o..o + n as usize]),
        }
        std::array::from_fn(|i| u32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]]))
    }
    #[inline]
    pub fn write(&mut self, o: usize, size: u32, v: &[u32; 4]) {
        if let Some(s) = self.swizzle.get_mut(o / 16) {
            *s = 0;
        }
        self.put(o, size, v);
    }
    #[inline]
    fn put(&mut self, o: usize, size: u32, v: &[u32; 4]) {
        let mut b = [0u8; 16];
        for (i, w) in v.iter().enumerate() {
            b[4 * i..4 * i + 4].copy_from_slice(&w.to_le_bytes());
        }
        let n = size as usize;
        self.data[o..o + n].copy_from_slice(&b[..n]);
        if self.track {
            self.state[o..o + n].fill(READY);
        }
    }
    /// Notes the swizzle of a tensor copy that writes sixteen bytes.
    pub fn swizzled(&mut self, o: usize, swizzle: u32) {
        self.swizzle.resize(self.data.len().div_ceil(16), 0);
        self.swizzle[o / 16] = swizzle as u8 + 1;
    }
    /// The swizzle with which a tensor copy wrote the bytes at an offset, if one did.
    pub fn swizzle_of(&self, o: usize) -> Option<u32> {
        self.swizzle.get(o / 16)?.checked_sub(1).map(u32::from)
    }
    /// Marks bytes as the target of a copy that has not landed; until then they hold no value to rely on.
    pub fn in_flight(&mut self, o: usize, size: u32) {
        let n = size as usize;
        self.data[o..o + n].fill(0xff);
        if let Some(s) = self.swizzle.get_mut(o / 16) {
            *s = 0;
        }
        if self.track {
            self.state[o..o + n].fill(COMING);
        }
    }
    /// Marks bytes as holding nothing.
    pub fn forget(&mut self, o: usize, size: usize) {
        self.data[o..o + size].fill(0xff);
        if self.track {
            self.state[o..o + size].fill(NEVER);
        }
    }
    /// Whether some byte is not ready, and then whether a copy in flight is why.
    #[inline]
    pub fn unready(&self, o: usize, size: u32) -> Option<bool> {
        let s = &self.state[o..o + size as usize];
        if let Ok(all) = <[u8; 16]>::try_from(s)
            && u128::from_ne_bytes(all) == u128::from_ne_bytes([READY; 16])
        {
            return None;
        }
        if s.iter().all(|b| *b == READY) { None } else { Some(s.contains(&COMING)) }
    }
}

/// Up to sixteen bytes combined with others, element by element.
fn reduced(old: &[u32; 4], new: &[u32; 4], bytes: u32, (op, ty): (AtomOp, Ty)) -> [u32; 4] {
    let per = ty.bytes() as usize;
    let all = |w: &[u32; 4]| -> [u8; 16] { std::array::from_fn(|i| (w[i / 4] >> (8 * (i % 4))) as u8) };
    let (old, new) = (all(old), all(new));
    let mut out = old;
    for at in (0..bytes as usize).step_by(per) {
        let v = |b: &[u8; 16]| (0..per).fold(0u64, |v, i| v | u64::from(b[at + i]) << (8 * i));
        let r = atom(op, ty, v(&old), v(&new), 0);
        out[at..at + per].copy_from_slice(&r.to_le_bytes()[..per]);
    }
    std::array::from_fn(|i| u32::from_le_bytes([out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3]]))
}

/// Passes that 32 banks of four bytes need for a request, and passes without conflicts.
pub(crate) fn wavefronts(offs: &V, size: u32, m: u32) -> (u64, u64) {
    let per = match size {
        16 => 8,
        8 => 16,
        _ => 32,
    };
    let words = size.div_ceil(4);
    let (mut total, mut ideal) = (0, 0);
    let mut lane = 0usize;
    while lane < 32 {
        let group = if per == 32 { m } else { m >> lane & ((1u32 << per) - 1) };
        if group != 0 {
            ideal += 1;
            // No two lanes in the same banks, as most often.
            if size >= 4 {
                let mut seen = 0u32;
                let mut apart = true;
                for i in 0..per {
                    if group >> i & 1 != 0 {
                        let mine = ((1u32 << words) - 1).rotate_left((offs[lane + i] / 4) & 31);
                        apart &= seen & mine == 0;
                        seen |= mine;
                    }
                }
                if apart {
                    total += 1;
                    lane += per;
                    continue;
                }
            }
            let mut first = [u32::MAX; 32];
            let mut extra: Vec<u32> = Vec::new();
            let mut depth = [0u8; 32];
            for i in 0..per {
                if group >> i & 1 == 0 {
                    continue;
                }
                let w0 = offs[lane + i] / 4;
                for w in w0..w0 + words {
                    let b = (w & 31) as usize;
                    if first[b] == u32::MAX {
                        first[b] = w;
                        depth[b] = 1;
                    } else if first[b] != w && !extra.contains(&w) {
                        extra.push(w);
                        depth[b] += 1;
                    }
                }
            }
            total += u64::from(depth.iter().copied().max().unwrap_or(1));
        }
        lane += per;
    }
    (total, ideal)
}
