//! The shared memory of a block: bytes, their state, and the bank model.

use std::collections::{BTreeMap, VecDeque};

use crate::alu::V;
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
    /// Whether another block has arrived here.
    pub remote: bool,
    pub order: Order,
    pub done: Order,
}

impl Mbar {
    /// Opens the next phase where this one is complete.
    pub fn settle(&mut self) {
        if self.pending == 0 && self.tx == 0 {
            self.phase += 1;
            self.pending = self.expected;
            self.done = std::mem::take(&mut self.order);
        }
    }
}

/// A bulk copy on its way into shared memory.
pub(crate) struct Flight {
    /// Offsets and the sixteen bytes, or fewer, that go there.
    pub parts: Vec<(u32, u32, [u32; 4])>,
    pub mbar: u32,
    pub bytes: u32,
    pub warp: u32,
    pub clock: u32,
}

/// What the blocks of a cluster share besides their memory.
#[derive(Default)]
pub(crate) struct Cluster {
    pub index: u64,
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
    pub race: Race,
    pub mbars: BTreeMap<u32, Mbar>,
    /// Bulk copies that have not landed, oldest first.
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
            race: Race::new(all, warps, blocks, race),
            mbars: BTreeMap::new(),
            flying: VecDeque::new(),
        }
    }
    /// Blocks of the cluster.
    pub fn blocks(&self) -> u32 {
        self.cluster.ended.len() as u32
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
    pub fn open(&mut self, done: impl Fn(usize) -> bool) -> bool {
        let c = &mut self.cluster;
        if !c.arrived.contains(&true) || !c.arrived.iter().enumerate().all(|(w, a)| *a || done(w)) {
            return false;
        }
        c.arrived.fill(false);
        c.generation += 1;
        let b = 16 * c.ended.len();
        self.race.barrier_done(b);
        true
    }
    pub fn reset(&mut self) {
        self.data.fill(0xff);
        self.state.fill(NEVER);
        self.race.reset();
        self.mbars.clear();
        self.flying.clear();
        self.cluster.arrived.fill(false);
        self.cluster.ended.fill(false);
        self.cluster.generation = 0;
    }
    /// Lets the oldest bulk copy land.
    pub fn land(&mut self) -> bool {
        let Some(f) = self.flying.pop_front() else {
            return false;
        };
        for (o, n, v) in &f.parts {
            self.write(*o as usize, *n, v);
        }
        if let Some(m) = self.mbars.get_mut(&f.mbar) {
            m.tx -= i64::from(f.bytes);
            self.race.bulk_landed(f.warp, f.clock, &mut m.order);
            m.settle();
        }
        true
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
    /// Marks bytes as the target of a copy that has not landed; until then they hold no value to rely on.
    pub fn in_flight(&mut self, o: usize, size: u32) {
        let n = size as usize;
        self.data[o..o + n].fill(0xff);
        if self.track {
            self.state[o..o + n].fill(COMING);
        }
    }
    /// Whether some byte is not ready, and then whether a copy in flight is why.
    #[inline]
    pub fn unready(&self, o: usize, size: u32) -> Option<bool> {
        let s = &self.state[o..o + size as usize];
        if s.iter().all(|b| *b == READY) { None } else { Some(s.contains(&COMING)) }
    }
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
