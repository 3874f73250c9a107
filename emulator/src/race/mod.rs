//! Which accesses to shared memory are ordered: vector clocks.
//!
//! The actors are the warps and, for each warp, its `cp.async` copies. A barrier orders everything before its
//! arrivals ahead of everything after its waits; `cp.async.wait_group` orders a warp's own copies ahead of what the warp does next.
//! Accesses by lanes of one warp count as ordered, as they are in lockstep here; that is laxer than the hardware's rules.

mod cells;
mod conflict;

use std::collections::HashMap;
use std::sync::Arc;

use crate::order::{Far, Reach, View};
use cells::{ACTOR, Cell, Cells, Epoch, MANY, Readers, STRONG, fresh};
pub(crate) use conflict::Conflict;

/// Kinds of actors: warps, their copies, their bulk copies into shared memory, their wgmmas, and their bulk copies out of it.
const ACTORS: usize = 5;

pub(crate) struct Race {
    on: bool,
    n: usize,
    per: u32,
    /// `vc[w]`: for each actor the clock up to which warp `w` knows what it did.
    vc: Vec<Vec<u32>>,
    /// As `vc`, for what the asynchronous proxy may rely on when warp `w` sets it to work.
    avc: Vec<Vec<u32>>,
    bars_a: Vec<Vec<u32>>,
    done_a: Vec<Vec<u32>>,
    bulk: Vec<u32>,
    store: Vec<u32>,
    wgmma: Vec<u32>,
    bars: Vec<Vec<u32>>,
    done: Vec<Vec<u32>>,
    group: Vec<u32>,
    /// The clock of a warp's copies at the end of each of its groups.
    closed: Vec<Vec<u32>>,
    /// What a warp knew at its latest fence of the cluster's scope, generic and proxy, and at its latest of any.
    fenced: Vec<(Vec<u32>, Vec<u32>)>,
    fenced_near: Vec<(Vec<u32>, Vec<u32>)>,
    /// What relaxed waits have learnt, which counts from the next fence on.
    unacquired: Vec<Order>,
    /// The latest access of an actor to another block's shared memory: by rank of that block and actor, when and where.
    remote: HashMap<(u32, u32), (u32, u32)>,
    cells: Cells,
    many: Vec<Readers>,
    free: Vec<u32>,
    sync: HashMap<usize, (Vec<u32>, Far)>,
    /// The number of the cluster, or of the block alone, in the grid.
    pub cluster: u32,
    /// What warps, barriers and the cluster's barrier know of other clusters; empty where no flag of the kernel can tell.
    reach: Vec<Reach>,
    bars_far: Vec<Far>,
    /// The clocks of other clusters' warps before flags that this one has seen.
    observed: HashMap<u32, Arc<[u32]>>,
    /// The flags that were read, by address, and which write was seen: it will not be unseen.
    pub seen_at: HashMap<u64, u64>,
    done_far: Vec<Far>,
}

fn join(a: &mut [u32], b: &[u32]) {
    for (x, y) in a.iter_mut().zip(b) {
        *x = (*x).max(*y);
    }
}

impl Race {
    /// For the shared memory of a cluster of `blocks`, each with `warps`.
    pub fn new(size: u32, warps: u32, blocks: u32, on: bool) -> Self {
        let n = (warps * blocks) as usize;
        let bars = 16 * blocks as usize + 1;
        let on = on && n > 0;
        let cells = Cells::new(if on { size as usize } else { 0 });
        let mut r = Self {
            on,
            n,
            per: warps,
            vc: vec![vec![0; ACTORS * n]; n],
            avc: vec![vec![0; ACTORS * n]; n],
            bars_a: vec![vec![0; ACTORS * n]; bars],
            done_a: vec![vec![0; ACTORS * n]; bars],
            bulk: vec![1; n],
            store: vec![1; n],
            wgmma: vec![1; n],
            bars: vec![vec![0; ACTORS * n]; bars],
            done: vec![vec![0; ACTORS * n]; bars],
            group: vec![1; n],
            closed: vec![Vec::new(); n],
            fenced: vec![Default::default(); n],
            fenced_near: vec![Default::default(); n],
            unacquired: vec![Order::default(); n],
            remote: HashMap::new(),
            cells,
            many: Vec::new(),
            free: Vec::new(),
            sync: HashMap::new(),
            cluster: 0,
            reach: Vec::new(),
            observed: HashMap::new(),
            seen_at: HashMap::new(),
            bars_far: vec![Far::default(); bars],
            done_far: vec![Far::default(); bars],
        };
        r.reset();
        r
    }
    pub fn reset(&mut self) {
        for (i, v) in self.vc.iter_mut().enumerate() {
            v.fill(0);
            v[i] = 1;
        }
        self.avc.iter_mut().for_each(|v| v.fill(0));
        self.bars.iter_mut().for_each(|b| b.fill(0));
        self.bars_a.iter_mut().for_each(|b| b.fill(0));
        self.group.fill(1);
        self.bulk.fill(1);
        self.store.fill(1);
        self.closed.iter_mut().for_each(Vec::clear);
        self.unacquired.fill(Order::default());
        self.wgmma.fill(1);
        self.cells.reset();
        self.many.clear();
        self.free.clear();
        self.sync.clear();
        self.fenced.fill(Default::default());
        self.fenced_near.fill(Default::default());
        self.remote.clear();
    }
    /// Begins with the cluster of a number; `flags` where flags in global memory can tell of other clusters.
    pub fn begin(&mut self, cluster: u32, flags: bool) {
        self.cluster = cluster;
        self.reach.clear();
        self.observed.clear();
        self.seen_at.clear();
        if self.on && flags {
            self.reach.resize_with(self.n, Reach::default);
            self.bars_far.iter_mut().chain(&mut self.done_far).for_each(|f| *f = Far::default());
        }
    }
    pub fn warps_of_a_block(&self) -> u32 {
        self.per
    }
    /// What a warp knows of the warps of its cluster.
    pub fn clocks(&self, w: u32) -> &[u32] {
        &self.vc[w as usize][..self.n]
    }
    pub fn clock(&self, w: u32) -> u32 {
        self.vc[w as usize][w as usize]
    }
    pub fn reach(&self, w: u32) -> Option<&Reach> {
        self.reach.get(w as usize)
    }
    pub fn has_reach(&self) -> bool {
        !self.reach.is_empty()
    }
    /// A warp has used global memory.
    #[inline]
    pub fn touched(&mut self, w: u32) {
        if let Some(r) = self.reach.get_mut(w as usize) {
            r.dirty = true;
        }
    }
    /// What a warp does from now on comes after what it has told of.
    pub fn tick(&mut self, w: u32) {
        let w = w as usize;
        if let Some(r) = self.reach.get_mut(w)
            && std::mem::take(&mut r.dirty)
        {
            self.vc[w][w] += 1;
        }
    }
    /// Lanes of a warp come together.
    #[inline]
    pub fn lanes_meet(&mut self, w: u32) {
        if let Some(r) = self.reach.get_mut(w as usize) {
            r.together(false);
            self.tick(w);
        }
    }
    /// A flag was seen that a cluster has written; what its warps had done before, though it need not be visible.
    pub fn observe(&mut self, cluster: u32, clocks: &Arc<[u32]>) {
        let old = self.observed.entry(cluster).or_insert_with(|| clocks.clone());
        if !Arc::ptr_eq(old, clocks) && old.iter().zip(clocks.iter()).any(|(a, b)| a < b) {
            *old = old.iter().zip(clocks.iter()).map(|(a, b)| *a.max(b)).collect();
        }
    }
    /// Whether a flag was seen that was written after what a warp of a cluster did at a clock.
    pub fn observed(&self, cluster: u32, warp: usize, clock: u32) -> bool {
        self.observed.get(&cluster).and_then(|c| c.get(warp)).is_some_and(|c| *c >= clock)
    }
    /// What another warp of the cluster has told.
    pub fn take_near(&mut self, w: u32, clocks: &[u32]) {
        join(&mut self.vc[w as usize], clocks);
    }
    /// What a lane learns from a flag.
    pub fn learn(&mut self, w: u32, lane: u32, view: &View, acquire: bool, atomic: bool) {
        let Some(r) = self.reach.get_mut(w as usize) else { return };
        r.learn(1 << lane, view, acquire, atomic);
        if acquire && let Some(own) = view.marks(self.cluster) {
            for (x, m) in self.vc[w as usize].iter_mut().zip(own) {
                let upto = (m >> 32) as u32 - u32::from(*m as u32 != u32::MAX && m >> 32 != 0);
                *x = (*x).max(upto);
            }
        }
    }
    /// What a lane's write to a flag tells.
    pub fn publish(&mut self, w: u32, lane: u32, release: bool) -> View {
        let (cluster, n) = (self.cluster, self.n);
        match self.reach.get_mut(w as usize) {
            Some(r) => r.publish(cluster, w as usize, lane, &self.vc[w as usize][..n], release),
            None => View::default(),
        }
    }
    pub fn barrier_arrive(&mut self, b: usize, w: u32) {
        let w = w as usize;
        self.far_arrive(b, w);
        join(&mut self.bars[b], &self.vc[w]);
        join(&mut self.bars_a[b], &self.avc[w]);
        self.vc[w][w] += 1;
    }
    fn far_arrive(&mut self, b: usize, w: usize) {
        if let Some(r) = self.reach.get_mut(w) {
            r.together(true);
            self.bars_far[b].join(&r.far);
        }
    }
    /// As [`Self::barrier_arrive`], but of what the warp did only what stands before its latest fence counts.
    pub fn barrier_arrive_relaxed(&mut self, b: usize, w: u32) {
        self.far_arrive(b, w as usize);
        let (vc, avc) = &self.fenced[w as usize];
        join(&mut self.bars[b], vc);
        join(&mut self.bars_a[b], avc);
    }
    /// A fence by some lanes; `wide` where its scope is the cluster's or a wider one, `device` where it is wider still.
    pub fn fence(&mut self, w: u32, lanes: u32, wide: bool, device: bool) {
        let w = w as usize;
        if self.on {
            if device && let Some(r) = self.reach.get_mut(w) {
                r.fence(w, lanes, &self.vc[w][..self.n]);
            }
            let o = std::mem::take(&mut self.unacquired[w]);
            join(&mut self.vc[w], &o.generic);
            join(&mut self.avc[w], &o.proxy);
            let now = (self.vc[w].clone(), self.avc[w].clone());
            if wide {
                self.fenced[w] = now.clone();
            }
            self.fenced_near[w] = now;
            self.vc[w][w] += 1;
        }
    }
    /// A warp, or with `bulk` its copy at that clock, uses the shared memory of the block of another rank.
    pub fn use_remote(&mut self, rank: u32, w: u32, bulk: Option<u32>, pc: u32) {
        if self.on {
            let (actor, clock) = match bulk {
                Some(c) => (2 * self.n as u32 + w, c),
                None => (w, self.vc[w as usize][w as usize]),
            };
            self.remote.insert((rank, actor), (clock, pc));
        }
    }
    /// The uses of a block's shared memory by others that the block, which ends, does not know to be over.
    pub fn unfinished(&self, rank: u32) -> Vec<Conflict> {
        let first = (rank * self.per) as usize;
        let knows =
            |actor: u32| (first..first + self.per as usize).map(|w| self.vc[w][actor as usize]).max().unwrap_or(0);
        let mut all: Vec<Conflict> = self
            .remote
            .iter()
            .filter(|((r, actor), (clock, _))| *r == rank && knows(*actor) < *clock)
            .map(|((_, actor), (_, pc))| Conflict {
                pc: *pc,
                actor: *actor,
                warps: self.n as u32,
                per: self.per,
                now_write: true,
                was_write: true,
                proxy: false,
            })
            .collect();
        all.sort_by_key(|c| c.actor);
        all
    }
    pub fn barrier_done(&mut self, b: usize) {
        self.done[b] = self.bars[b].clone();
        self.bars[b].fill(0);
        self.done_a[b] = self.bars_a[b].clone();
        self.bars_a[b].fill(0);
        if self.has_reach() {
            self.done_far[b] = std::mem::take(&mut self.bars_far[b]);
        }
    }
    pub fn barrier_pass(&mut self, b: usize, w: u32) {
        if let Some(r) = self.reach.get_mut(w as usize) {
            r.join(&self.done_far[b]);
        }
        join(&mut self.vc[w as usize], &self.done[b]);
        join(&mut self.avc[w as usize], &self.done_a[b]);
    }
    pub fn commit(&mut self, w: u32) {
        let w = w as usize;
        self.closed[w].push(self.group[w]);
        self.group[w] += 1;
    }
    /// The clock of a warp's copies so far, for an mbarrier that tells of them.
    pub fn close_copies(&mut self, w: u32) -> u32 {
        let c = &mut self.group[w as usize];
        *c += 1;
        *c - 1
    }
    pub fn copies_landed(&self, w: u32, clock: u32, order: &mut Order) {
        if self.on {
            order.fit(ACTORS * self.n);
            let c = &mut order.generic[self.n + w as usize];
            *c = (*c).max(clock);
        }
    }
    pub fn wait_copies(&mut self, w: u32, n: Option<u32>) {
        let w = w as usize;
        let upto = match n {
            Some(n) => {
                let all = &self.closed[w];
                all.len().checked_sub(1 + n as usize).map_or(0, |i| all[i])
            }
            None => {
                self.group[w] += 1;
                self.group[w] - 1
            }
        };
        let c = &mut self.vc[w][self.n + w];
        *c = (*c).max(upto);
    }

    /// A strong read learns what strong writes of its place have told.
    fn hear(&mut self, o: usize, w: usize) {
        if let Some((s, far)) = self.sync.get(&o) {
            join(&mut self.vc[w], s);
            if let Some(r) = self.reach.get_mut(w) {
                r.together(false);
                r.join(far);
            }
        }
    }
    /// A strong write tells all that its warp knows, and atomic operations hand on what they have read.
    fn tell(&mut self, o: usize, w: usize) {
        let n = self.n;
        let (s, far) = self.sync.entry(o).or_insert_with(|| (vec![0; ACTORS * n], Far::default()));
        join(s, &self.vc[w]);
        self.vc[w][w] += 1;
        if let Some(r) = self.reach.get_mut(w) {
            r.together(false);
            far.join(&r.far);
        }
    }

    pub fn read(&mut self, o: usize, size: u32, w: u32, pc: u32, strong: bool) -> Option<Conflict> {
        if !self.on {
            return None;
        }
        if strong {
            self.hear(o, w as usize);
        }
        let clock = self.vc[w as usize][w as usize];
        self.read_as(o, size, w, w, clock, pc, strong, false)
    }

    /// A read by the asynchronous proxy that warp `w` has set going: its bulk copies, or the wgmma of its warpgroup.
    pub fn async_read(&mut self, o: usize, size: u32, w: u32, pc: u32, wgmma: bool) -> Option<Conflict> {
        if !self.on {
            return None;
        }
        let n = self.n as u32;
        let (actor, clock) =
            if wgmma { (3 * n + w / 4 * 4, self.wgmma[w as usize]) } else { (4 * n + w, self.store[w as usize]) };
        self.read_as(o, size, w, actor, clock, pc, false, true)
    }

    #[allow(clippy::too_many_arguments)]
    fn read_as(
        &mut self,
        o: usize,
        size: u32,
        w: u32,
        me: u32,
        now: u32,
        pc: u32,
        strong: bool,
        proxy: bool,
    ) -> Option<Conflict> {
        let (wu, me) = (w as usize, me as usize);
        let (vc, avc) = (&self.vc[wu], &self.avc[wu]);
        let mut bad = None;
        let (warps, per) = (self.n as u32, self.per);
        let (mut at, end) = (o, o + size as usize);
        while at < end {
            let (mut cell, next) = self.cells.run(at, end);
            let count = (next - at) as u32;
            let e = cell.w;
            if e.clock != 0 && bad.is_none() {
                let actor = usize::from(e.actor & ACTOR);
                let both_strong = strong && e.actor & STRONG != 0;
                let unordered = actor != wu && vc[actor] < e.clock && !both_strong;
                // What threads wrote reaches the asynchronous proxy through a fence only, also what the warp itself wrote.
                let unfenced = proxy && actor < 2 * self.n && avc[actor] < e.clock;
                if unordered || unfenced {
                    bad = Some(Conflict {
                        pc: e.pc,
                        actor: actor as u32,
                        warps,
                        per,
                        now_write: false,
                        was_write: true,
                        proxy: !unordered,
                    });
                }
            }
            let r = cell.r;
            let ra = usize::from(r.actor & ACTOR);
            let epoch = Epoch { clock: now, actor: me as u16 | if strong { STRONG } else { 0 }, pc };
            let reader = u32::from(epoch.actor);
            if r.clock == 0 && r.actor & MANY == 0 {
                cell.r = epoch;
            } else if r.actor & MANY != 0 {
                let known = &mut self.many[r.clock as usize];
                if known.list.contains(&(reader, now, pc)) {
                    at = next;
                    continue;
                }
                let i = if known.cells == count {
                    r.clock
                } else {
                    // The other cells of the list are not read now: these get one of their own.
                    known.cells -= count;
                    let list = known.list.clone();
                    let i = fresh(&mut self.many, &mut self.free);
                    self.many[i as usize] = Readers { list, cells: count };
                    i
                };
                let list = &mut self.many[i as usize].list;
                match list.iter_mut().find(|x| x.0 == reader) {
                    Some(x) => (x.1, x.2) = (now.max(x.1), pc),
                    None => list.push((reader, now, pc)),
                }
                cell.r.clock = i;
            } else if r.actor == epoch.actor {
                // The warps of a warpgroup are one reader, and may be a group apart.
                cell.r = Epoch { clock: now.max(r.clock), ..epoch };
            } else if ra != me && vc[ra] >= r.clock {
                cell.r = epoch;
            } else {
                let i = fresh(&mut self.many, &mut self.free);
                let readers = &mut self.many[i as usize];
                readers.list.push((u32::from(r.actor), r.clock, r.pc));
                readers.list.push((reader, now, pc));
                readers.cells = count;
                cell.r = Epoch { clock: i, actor: MANY, pc: 0 };
            }
            self.cells.fill(at, next, cell);
            at = next;
        }
        bad
    }

    /// `fence.proxy.async`: what the warp knows of is visible to the asynchronous proxy.
    pub fn fence_async(&mut self, w: u32) {
        let w = w as usize;
        if self.on {
            let Self { vc, avc, .. } = self;
            join(&mut avc[w], &vc[w]);
            vc[w][w] += 1;
        }
    }
    /// The clocks that an mbarrier takes from a warp that arrives.
    pub fn give(&mut self, w: u32, order: &mut Order) {
        let w = w as usize;
        if self.on {
            order.fit(ACTORS * self.n);
            join(&mut order.generic, &self.vc[w]);
            join(&mut order.proxy, &self.avc[w]);
            self.vc[w][w] += 1;
            self.give_far(w, order);
        }
    }
    fn give_far(&mut self, w: usize, order: &mut Order) {
        if let Some(r) = self.reach.get_mut(w) {
            r.together(false);
            order.far.join(&r.far);
        }
    }
    fn take_far(&mut self, w: usize, order: &Order) {
        if let Some(r) = self.reach.get_mut(w) {
            r.join(&order.far);
        }
    }
    /// As [`Self::give`] for a relaxed arrival: only what stands before a fence counts.
    pub fn give_relaxed(&mut self, w: u32, order: &mut Order, near: bool) {
        let w = w as usize;
        if self.on {
            order.fit(ACTORS * self.n);
            let (vc, avc) = if near { &self.fenced_near[w] } else { &self.fenced[w] };
            join(&mut order.generic, vc);
            join(&mut order.proxy, avc);
            self.give_far(w, order);
        }
    }
    /// As [`Self::take`] for a relaxed wait: it counts from the next fence on.
    pub fn take_relaxed(&mut self, w: u32, order: &Order) {
        let w = w as usize;
        if self.on && !order.generic.is_empty() {
            let n = self.n;
            let o = &mut self.unacquired[w];
            o.fit(ACTORS * n);
            join(&mut o.generic, &order.generic);
            join(&mut o.proxy, &order.proxy);
            self.take_far(w, order);
        }
    }
    pub fn take(&mut self, w: u32, order: &Order) {
        let w = w as usize;
        if self.on {
            join(&mut self.vc[w], &order.generic);
            join(&mut self.avc[w], &order.proxy);
            self.take_far(w, order);
        }
    }
    /// The clock of a bulk copy that warp `w` issues; what has landed is known to whoever waits for the mbarrier.
    pub fn bulk_issue(&mut self, w: u32) -> u32 {
        let c = &mut self.bulk[w as usize];
        *c += 1;
        *c - 1
    }
    pub fn bulk_landed(&self, w: u32, clock: u32, order: &mut Order) {
        if self.on {
            order.fit(ACTORS * self.n);
            let c = &mut order.generic[2 * self.n + w as usize];
            *c = (*c).max(clock);
        }
    }
    pub fn bulk_write(&mut self, o: usize, size: u32, w: u32, clock: u32, pc: u32) -> Option<Conflict> {
        if !self.on {
            return None;
        }
        self.write_as(o, size, w, 2 * self.n as u32 + w, clock, pc, false)
    }
    /// The clock of the bulk copy out of shared memory that comes next, and of those after it.
    pub fn store_issued(&mut self, w: u32) -> u32 {
        let c = &mut self.store[w as usize];
        *c += 1;
        *c - 1
    }
    /// A warp has waited for its bulk copies up to a clock: they have read what they had to.
    pub fn stores_done(&mut self, w: u32, upto: u32) {
        let i = 4 * self.n + w as usize;
        if self.on {
            let c = &mut self.vc[w as usize][i];
            *c = (*c).max(upto);
        }
    }
    /// What a bulk copy between blocks has read is known to whoever waits for its mbarrier.
    pub fn store_landed(&self, w: u32, clock: u32, order: &mut Order) {
        if self.on {
            order.fit(ACTORS * self.n);
            let c = &mut order.generic[4 * self.n + w as usize];
            *c = (*c).max(clock);
        }
    }
    /// A warp closes a wgmma group.
    pub fn wgmma_commit(&mut self, w: u32) {
        self.wgmma[w as usize] += 1;
    }
    /// All but the latest `pending` groups have read what they had to. Groups belong to the warpgroup: what holds for one of its
    /// warps holds for all four.
    pub fn wgmma_waited(&mut self, w: u32, pending: u32) {
        let first = (w / 4 * 4) as usize;
        let upto = self.wgmma[w as usize].saturating_sub(1).saturating_sub(pending);
        if self.on {
            for x in first..(first + 4).min(self.n) {
                let c = &mut self.vc[w as usize][3 * self.n + x];
                *c = (*c).max(upto);
            }
        }
    }

    pub fn write(&mut self, o: usize, size: u32, w: u32, pc: u32, strong: bool) -> Option<Conflict> {
        if !self.on {
            return None;
        }
        if strong {
            self.tell(o, w as usize);
        }
        let clock = self.vc[w as usize][w as usize];
        self.write_as(o, size, w, w, clock, pc, strong)
    }
    pub fn copy_write(&mut self, o: usize, size: u32, w: u32, pc: u32) -> Option<Conflict> {
        if !self.on {
            return None;
        }
        let clock = self.group[w as usize];
        self.write_as(o, size, w, w + self.n as u32, clock, pc, false)
    }
    #[allow(clippy::too_many_arguments)]
    fn write_as(
        &mut self,
        o: usize,
        size: u32,
        w: u32,
        actor: u32,
        clock: u32,
        pc: u32,
        strong: bool,
    ) -> Option<Conflict> {
        let wu = w as usize;
        let vc = &self.vc[wu];
        let mut bad = None;
        let (warps, per) = (self.n as u32, self.per);
        let mut note = |pc: u32, actor: u32, was_write: bool| {
            if bad.is_none() {
                bad = Some(Conflict { pc, actor, warps, per, now_write: true, was_write, proxy: false });
            }
        };
        let (mut at, end) = (o, o + size as usize);
        while at < end {
            let (cell, next) = self.cells.run(at, end);
            let e = cell.w;
            if e.clock != 0 {
                let a = u32::from(e.actor & ACTOR);
                // Two copies of one group by one warp have no order either, but overlapping ones write what a warp asked for.
                if a != actor && a != w && vc[a as usize] < e.clock && !(strong && e.actor & STRONG != 0) {
                    note(e.pc, a, true);
                }
            }
            let r = cell.r;
            if r.actor & MANY != 0 {
                let readers = &mut self.many[r.clock as usize];
                for (reader, c, p) in &readers.list {
                    let a = reader & u32::from(ACTOR);
                    if a != w && vc[a as usize] < *c && !(strong && reader & u32::from(STRONG) != 0) {
                        note(*p, a, false);
                    }
                }
                readers.cells -= (next - at) as u32;
                if readers.cells == 0 {
                    self.free.push(r.clock);
                }
            } else if r.clock != 0 {
                let a = usize::from(r.actor & ACTOR);
                if a != wu && vc[a] < r.clock && !(strong && r.actor & STRONG != 0) {
                    note(r.pc, a as u32, false);
                }
            }
            let new = Cell {
                w: Epoch { clock, actor: actor as u16 | if strong { STRONG } else { 0 }, pc },
                r: Epoch::default(),
            };
            self.cells.fill(at, next, new);
            at = next;
        }
        bad
    }
}

/// What an mbarrier passes on from those who arrive to those who wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    generic: Vec<u32>,
    proxy: Vec<u32>,
    far: Far,
}
impl Order {
    fn fit(&mut self, n: usize) {
        if self.generic.len() < n {
            self.generic.resize(n, 0);
            self.proxy.resize(n, 0);
        }
    }
}
