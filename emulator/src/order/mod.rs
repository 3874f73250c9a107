//! Order between the blocks of a launch, and between the warps of one as far as global memory goes.
//!
//! The actors are warps, each with the clock of the race check inside its cluster, so that all that orders warps there, barriers and
//! mbarriers above all, counts here too; an access also has its lane. Blocks learn of each other through flags: a release, or a
//! fence and then a relaxed write, leaves at the address what the writer knows; an acquire, or a relaxed read and then a fence,
//! takes it up (PTX ISA 8.8 to 8.10).

mod reach;
mod view;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use crate::exec::Launch;
use crate::ins::MemFlags;
use crate::mem::Alloc;
use crate::race::Race;
use crate::report::Kind;
pub(crate) use reach::{Far, Reach};
pub(crate) use view::View;

/// An access as the tables keep it: clock, lane, warp and cluster, whether it was a strong one, and one of less than the device's
/// scope. Zero is none.
#[derive(Clone, Copy, PartialEq)]
struct Epoch(u64);
const CLOCK: u32 = (1 << 24) - 1;
const GROUPS: u64 = 1 << 24;

impl Epoch {
    fn new(group: u32, warp: u32, lane: u32, clock: u32, fl: MemFlags) -> Self {
        Self(
            u64::from(fl.strong) << 63
                | u64::from(fl.strong && fl.near) << 62
                | u64::from(group) << 38
                | u64::from(warp) << 29
                | u64::from(lane) << 24
                | u64::from(clock.min(CLOCK)),
        )
    }
    fn clock(self) -> u32 {
        self.0 as u32 & CLOCK
    }
    fn lane(self) -> u32 {
        (self.0 >> 24) as u32 & 31
    }
    fn warp(self) -> usize {
        (self.0 >> 29) as usize & 511
    }
    fn group(self) -> u32 {
        (self.0 >> 38) as u32 & (GROUPS as u32 - 1)
    }
    fn place(self) -> (u32, usize, u32, u32) {
        (self.group(), self.warp(), self.clock(), self.lane())
    }
    fn strong(self) -> bool {
        self.0 >> 63 != 0
    }
    fn near(self) -> bool {
        self.0 >> 62 & 1 != 0
    }
}

/// A table of epochs that takes up memory only where it is touched.
struct Table {
    chunks: Vec<OnceLock<Box<[AtomicU64]>>>,
}
const CHUNK: usize = 1 << 12;

impl Table {
    fn new(n: usize) -> Self {
        Self { chunks: (0..n.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }
    /// Whether there can be something other than zero.
    fn get(&self, i: usize) -> Epoch {
        Epoch(self.chunks[i / CHUNK].get().map_or(0, |c| c[i % CHUNK].load(Relaxed)))
    }
    fn set(&self, i: usize, e: Epoch) {
        let words = self.chunks[i / CHUNK].get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
        words[i % CHUNK].store(e.0, Relaxed);
    }
}

/// The latest plain write of some bytes and the latest strong one, a read that those after it do not know of, and the latest of
/// another cluster.
struct Cells {
    writer: Table,
    strong: Table,
    reader: Table,
    second: Table,
    written: AtomicBool,
    read: AtomicBool,
}

impl Cells {
    fn new(n: u64) -> Self {
        let t = || Table::new(n as usize);
        Self {
            writer: t(),
            strong: t(),
            reader: t(),
            second: t(),
            written: AtomicBool::new(false),
            read: AtomicBool::new(false),
        }
    }
}

/// Who touched which bytes of an allocation during a launch: by sixteen bytes where an access took them all, else by two, and by one
/// once there is an access of one.
struct Touch {
    wide: Cells,
    pairs: Cells,
    bytes: OnceLock<Cells>,
}

/// An access to global memory.
pub(crate) struct Access<'a> {
    pub allocation: usize,
    pub alloc: &'a Alloc,
    pub offset: u64,
    pub size: u32,
    pub write: bool,
    pub fl: MemFlags,
    /// What is written, where that is known: the same value twice by one block is no harm.
    pub value: Option<&'a [u32; 4]>,
    /// Whether a load asks again until it reads what it waits for.
    pub polls: bool,
    pub pc: u32,
    /// The warp in its block and in its cluster, and the lane.
    pub warp: u32,
    pub gid: u32,
    pub lane: u32,
    pub cta: [u32; 3],
}

/// What the flags of a launch tell, and who touched what.
pub(crate) struct GridOrder {
    on: bool,
    /// Whether some instruction of the kernel can learn from a flag.
    flags: bool,
    touch: Vec<OnceLock<Touch>>,
    told: Mutex<HashMap<u64, Told>>,
}

/// What is to be learnt at four bytes of memory.
#[derive(Default)]
struct Told {
    view: View,
    /// The cluster that has written the flag last, and the clocks of its warps: the others of it learn them, and who reads the flag
    /// has seen something that comes after what they did until then, though it may not rely on that.
    near: Option<(u32, Arc<[u32]>)>,
}

impl GridOrder {
    pub fn new(allocs: usize, blocks: u64, on: bool, flags: bool) -> Self {
        let on = on && blocks < GROUPS;
        Self {
            on,
            flags: on && flags,
            touch: (0..if on { allocs } else { 0 }).map(|_| OnceLock::new()).collect(),
            told: Mutex::default(),
        }
    }
    /// Whether warps have to note what they know of other clusters.
    pub fn flags(&self) -> bool {
        self.flags
    }

    /// What an access to a flag learns, before it is judged.
    pub fn learn(&self, race: &mut Race, a: &Access<'_>, atomic: bool) {
        if !self.flags || !a.fl.strong {
            return;
        }
        let Ok(told) = self.told.lock() else { return };
        let at = a.alloc.base + a.offset;
        for word in at / 4..(at + u64::from(a.size)).div_ceil(4) {
            if let Some(t) = told.get(&word) {
                if let Some((group, clocks)) = &t.near {
                    if *group == race.cluster {
                        race.take_near(a.gid, clocks);
                    } else {
                        race.observe(*group, clocks);
                    }
                }
                if !a.fl.near {
                    race.learn(a.gid, a.lane, &t.view, a.fl.acquire, atomic);
                }
            }
        }
    }
    /// What an access to a flag tells, after it was judged.
    pub fn tell(&self, race: &mut Race, a: &Access<'_>, atomic: bool) {
        if !self.flags || !a.fl.strong {
            return;
        }
        let view = if a.fl.near { View::default() } else { race.publish(a.gid, a.lane, a.fl.release) };
        let Ok(mut told) = self.told.lock() else { return };
        let at = a.alloc.base + a.offset;
        for word in at / 4..(at + u64::from(a.size)).div_ceil(4) {
            let t = told.entry(word).or_default();
            // A plain write hides what others have told; an atomic operation hands it on, and so does a write beside it.
            if !atomic && a.size >= 4 {
                t.view = View::default();
            }
            t.view.join(&view);
            let clocks = race.clocks(a.gid);
            match &mut t.near {
                Some((g, old)) if *g == race.cluster => {
                    if old.iter().zip(clocks).any(|(a, b)| a < b) {
                        *old = old.iter().zip(clocks).map(|(a, b)| *a.max(b)).collect();
                    }
                }
                _ => t.near = Some((race.cluster, clocks.into())),
            }
        }
        drop(told);
        race.tick(a.gid);
    }

    /// Notes which write a load has seen.
    pub fn seen(&self, race: &mut Race, a: &Access<'_>) {
        if self.flags
            && a.fl.strong
            && let Some(t) = self.touch.get(a.allocation).and_then(OnceLock::get)
        {
            let (wide, pair) = (t.wide.strong.get(a.offset as usize / 16), t.pairs.strong.get(a.offset as usize / 2));
            race.seen_at.insert(a.alloc.base + a.offset, if pair.0 == 0 { wide.0 } else { pair.0 });
        }
    }
    #[inline]
    pub fn access(&self, l: &Launch<'_>, race: &mut Race, a: &Access<'_>) {
        if !self.on {
            return;
        }
        let Some(slot) = self.touch.get(a.allocation) else {
            return;
        };
        let n = a.alloc.size;
        let t = slot.get_or_init(|| Touch {
            wide: Cells::new(n.div_ceil(16)),
            pairs: Cells::new(n.div_ceil(2)),
            bytes: OnceLock::new(),
        });
        let me = Epoch::new(race.cluster, a.gid, a.lane, race.clock(a.gid), a.fl);
        race.touched(a.gid);
        let (off, end) = (a.offset, a.offset + u64::from(a.size));
        let judge = Judge { l, race, a, me };
        if a.size == 1 {
            let bytes = t.bytes.get_or_init(|| Cells::new(n));
            for (cells, i) in [(&t.pairs, off / 2), (&t.wide, off / 16), (bytes, off)] {
                judge.check(cells, i as usize, off);
            }
            judge.note(bytes, off as usize);
            return;
        }
        if let Some(bytes) = t.bytes.get() {
            (off..end).for_each(|at| judge.check(bytes, at as usize, at));
        }
        let used = |c: &Cells| c.written.load(Relaxed) || (a.write && c.read.load(Relaxed));
        if off.is_multiple_of(16) && a.size.is_multiple_of(16) {
            let fine = used(&t.pairs);
            for g in off / 16..end / 16 {
                judge.check(&t.wide, g as usize, 16 * g);
                if fine {
                    (8 * g..8 * g + 8).for_each(|c| judge.check(&t.pairs, c as usize, 2 * c));
                }
                judge.note(&t.wide, g as usize);
            }
            return;
        }
        let wide = used(&t.wide);
        for c in off / 2..end.div_ceil(2) {
            judge.check(&t.pairs, c as usize, 2 * c);
            if wide {
                judge.check(&t.wide, c as usize / 8, 2 * c);
            }
            judge.note(&t.pairs, c as usize);
        }
    }
}

/// An access beside those before it.
struct Judge<'j, 'l> {
    l: &'j Launch<'l>,
    race: &'j Race,
    a: &'j Access<'j>,
    me: Epoch,
}

impl Judge<'_, '_> {
    #[inline]
    fn check(&self, cells: &Cells, i: usize, at: u64) {
        for w in [cells.writer.get(i), cells.strong.get(i)] {
            if !self.ordered(w, true) {
                self.report(w, true, at);
            }
        }
        // What is read with no order is as it may be; where it is what stands before a flag that was seen, it is meant to be new.
        let w = cells.strong.get(i);
        if self.a.fl.strong
            && !self.a.write
            && !self.a.polls
            && w.0 != 0
            && w.group() != self.race.cluster
            && self.race.seen_at.get(&(self.a.alloc.base + self.a.offset)) != Some(&w.0)
            && self.race.observed(w.group(), w.warp(), w.clock())
            && self.race.reach(self.a.gid).is_some_and(|r| !r.knows(self.a.lane, w.place()))
        {
            self.stale(w, at);
        }
        if self.a.write {
            for r in [cells.reader.get(i), cells.second.get(i)] {
                if !self.ordered(r, false) {
                    self.report(r, false, at);
                }
            }
        }
    }
    #[inline]
    fn ordered(&self, e: Epoch, was_write: bool) -> bool {
        if e.0 == 0 {
            return true;
        }
        let (race, a) = (self.race, self.a);
        if e.group() == race.cluster {
            if e.warp() == a.gid as usize || (e.strong() && a.fl.strong) {
                return true;
            }
            let clock = e.clock();
            if clock == CLOCK || race.clocks(a.gid).get(e.warp()).is_none_or(|c| *c >= clock) {
                return true;
            }
            // The same value a second time.
            return was_write
                && a.write
                && a.value.is_some_and(|v| a.size <= 16 && a.alloc.read(a.offset, a.size) == *v);
        }
        (e.strong() && a.fl.strong && !e.near() && !a.fl.near)
            || race.reach(a.gid).is_some_and(|r| r.knows(a.lane, e.place()))
    }
    fn note(&self, cells: &Cells, i: usize) {
        if self.a.write {
            if self.me.strong() { &cells.strong } else { &cells.writer }.set(i, self.me);
            cells.written.store(true, Relaxed);
            return;
        }
        let old = cells.reader.get(i);
        let own = old.0 != 0 && old.group() == self.me.group() && old.warp() == self.me.warp();
        // A plain read says more than the strong one after it.
        if old == self.me || (own && self.me.strong() && !old.strong()) {
            return;
        }
        cells.read.store(true, Relaxed);
        if old.0 == 0 || own || (self.race.has_reach() || old.group() == self.me.group()) && self.ordered(old, false) {
            cells.reader.set(i, self.me);
        } else if cells.second.get(i) != self.me {
            cells.second.set(i, self.me);
        }
    }
    #[cold]
    fn stale(&self, e: Epoch, at: u64) {
        let (l, a) = (self.l, self.a);
        let per = self.race.warps_of_a_block();
        let (block, warp) = (l.block_number(e.group(), e.warp() as u32 / per), e.warp() as u32 % per);
        let text = format!(
            "read of global memory {at} bytes into {}, written by block {block} before a flag that was seen, with no order between \
             the blocks (warp {warp} and lane {} there): without a fence on both sides the old value may come",
            a.alloc.name,
            e.lane()
        );
        l.found(Kind::Race, a.pc, a.cta, a.warp, Some(a.lane), Some(a.alloc.base + at), text);
    }
    #[cold]
    fn report(&self, e: Epoch, was_write: bool, at: u64) {
        let (l, a) = (self.l, self.a);
        let mut there = String::new();
        let mine = e.group() == self.race.cluster;
        let who = if mine && e.warp() as u32 / self.race.warps_of_a_block() == a.gid / self.race.warps_of_a_block() {
            format!("warp {} of the same block", e.warp() as u32 % self.race.warps_of_a_block())
        } else {
            let (rank, warp) =
                (e.warp() as u32 / self.race.warps_of_a_block(), e.warp() as u32 % self.race.warps_of_a_block());
            there = format!(" (warp {warp} and lane {} there)", e.lane());
            format!("block {}", l.block_number(e.group(), rank))
        };
        let what = match (a.write, was_write) {
            (true, true) => format!("write of global memory {at} bytes into {}, also written by {who}", a.alloc.name),
            (true, false) => format!("write of global memory {at} bytes into {}, read by {who}", a.alloc.name),
            (false, _) => format!("read of global memory {at} bytes into {}, written by {who}", a.alloc.name),
        };
        let scope = if !mine && e.strong() && a.fl.strong { ": the scope of one of the two is too narrow" } else { "" };
        let whom = if there.is_empty() { "them" } else { "the blocks" };
        let text = format!("{what} with no order between {whom}{there}{scope}");
        l.found(Kind::Race, a.pc, a.cta, a.warp, Some(a.lane), Some(a.alloc.base + at), text);
    }
}
