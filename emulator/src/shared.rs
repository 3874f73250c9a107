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

pub(crate) struct Shared {
    data: Vec<u8>,
    state: Vec<u8>,
    track: bool,
    pub race: Race,
    pub mbars: BTreeMap<u32, Mbar>,
    /// Bulk copies that have not landed, oldest first.
    pub flying: VecDeque<Flight>,
}

impl Shared {
    pub fn new(size: u32, warps: u32, track: bool, race: bool) -> Self {
        Self {
            data: vec![0xff; size as usize],
            state: vec![NEVER; size as usize],
            track,
            race: Race::new(size, warps, race),
            mbars: BTreeMap::new(),
            flying: VecDeque::new(),
        }
    }
    pub fn reset(&mut self) {
        self.data.fill(0xff);
        self.state.fill(NEVER);
        self.race.reset();
        self.mbars.clear();
        self.flying.clear();
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
    pub fn size(&self) -> usize {
        self.data.len()
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
