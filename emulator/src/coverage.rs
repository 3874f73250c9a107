//! Outputs that a launch, or several together, have to write once and only once.

use std::sync::atomic::Ordering::Relaxed;

use crate::mem::Sparse;

/// An output every byte of which a launch has to write once and only once, with plain stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where the first row starts.
    pub address: u64,
    /// Bytes of a row.
    pub row_bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// Bytes from one row's start to the next.
    pub pitch: u64,
}

impl Region {
    fn len(&self) -> u64 {
        if self.rows == 0 { 0 } else { (self.rows - 1).saturating_mul(self.pitch).saturating_add(self.row_bytes) }
    }
}

/// Counts the stores to the regions of a launch.
#[derive(Debug)]
pub(crate) struct Coverage {
    regions: Vec<(Region, Sparse)>,
    /// Launches to come that write the same outputs.
    more: u32,
}

/// Who wrote a byte: nobody, a block of an earlier launch, or the block of this launch with this number less one.
const UNWRITTEN: u32 = 0;
const EARLIER: u32 = u32::MAX;

impl Coverage {
    /// Of outputs that so many launches write together.
    pub fn new(regions: &[Region], launches: u32) -> Self {
        // A region larger than that is a mistake of the caller.
        let ok = |r: &&Region| r.len() > 0 && r.len() < 1 << 34 && r.pitch > 0;
        let regions: Vec<_> = regions.iter().filter(ok).map(|r| (*r, Sparse::new(r.len() as usize))).collect();
        let more = if regions.is_empty() { 0 } else { launches.saturating_sub(1) };
        Self { regions, more }
    }
    /// For the next launch that writes the same outputs, if there is one.
    pub fn next(mut self) -> Option<Self> {
        self.more = self.more.checked_sub(1)?;
        for (r, count) in &self.regions {
            for row in 0..r.rows {
                for col in 0..r.row_bytes {
                    let by = count.at((row * r.pitch + col) as usize);
                    if by.load(Relaxed) != UNWRITTEN {
                        by.store(EARLIER, Relaxed);
                    }
                }
            }
        }
        Some(self)
    }
    /// What is wrong with a store.
    #[inline]
    pub fn store(&self, addr: u64, size: u32, cta: u32) -> Option<String> {
        let mut bad = None;
        for (r, count) in &self.regions {
            for a in addr..addr + u64::from(size) {
                let Some(o) = a.checked_sub(r.address).filter(|o| *o < r.len()) else {
                    continue;
                };
                let (row, col) = (o / r.pitch, o % r.pitch);
                if col >= r.row_bytes {
                    bad = Some(format!(
                        "store {col} bytes into row {row}, between the rows of {} bytes of an output",
                        r.row_bytes
                    ));
                    continue;
                }
                let was = count.at(o as usize).swap(cta + 1, Relaxed);
                if was != UNWRITTEN && bad.is_none() {
                    let by = if was == EARLIER { "an earlier launch".into() } else { format!("block {}", was - 1) };
                    bad = Some(format!(
                        "byte {col} of row {row} of an output is written a second time, the first was by {by}"
                    ));
                }
            }
        }
        bad
    }
    /// What was never written, once the last launch has ended.
    pub fn missing(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.more > 0 {
            return out;
        }
        for (r, count) in &self.regions {
            let (mut n, mut first) = (0u64, None);
            for row in 0..r.rows {
                for col in 0..r.row_bytes {
                    if count.at((row * r.pitch + col) as usize).load(Relaxed) == UNWRITTEN {
                        n += 1;
                        first.get_or_insert((row, col));
                    }
                }
            }
            if let Some((row, col)) = first {
                out.push(format!(
                    "{n} bytes never written, the first in row {row} at byte {col} of an output of {} rows of {} bytes",
                    r.rows, r.row_bytes
                ));
            }
        }
        out
    }
    pub fn active(&self) -> bool {
        !self.regions.is_empty()
    }
}
