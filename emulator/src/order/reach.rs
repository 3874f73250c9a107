//! Where a warp stands in the order between blocks: what it has learnt from flags, and what its writes to flags tell.

use super::view::{View, later, mark};

/// What passes between warps of a cluster together with the order of their own accesses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far {
    /// What is known of other clusters.
    pub seen: View,
    /// What a relaxed write to a flag would tell of other clusters, and of the warps of the own: that which fences came after.
    pub shown: View,
    pub own: Vec<u64>,
    /// What relaxed reads have learnt, which counts from the next fence on.
    pub pending: View,
}

impl Far {
    pub fn join(&mut self, other: &Self) {
        self.seen.join(&other.seen);
        self.shown.join(&other.shown);
        self.pending.join(&other.pending);
        if self.own.len() < other.own.len() {
            self.own.resize(other.own.len(), 0);
        }
        for (a, b) in self.own.iter_mut().zip(&other.own) {
            *a = later(*a, *b);
        }
    }
}

/// What single lanes of a warp have learnt and the others have not.
#[derive(Clone, Debug)]
struct Learnt {
    lanes: u32,
    view: View,
    /// Whether the lanes may rely on it, and whether an atomic operation has brought it.
    acquired: bool,
    atomic: bool,
}

/// Where a warp stands in the order between blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    pub far: Far,
    learnt: Vec<Learnt>,
    /// What a relaxed write tells, once that has been put together.
    relaxed: Option<View>,
    /// Whether the warp has used global memory since its clock was advanced.
    pub dirty: bool,
}

impl Reach {
    /// The lanes come together: what one has acquired all know. What an atomic operation has brought counts as acquired then, as
    /// last-block reductions take it; a relaxed load needs its fence.
    pub fn together(&mut self, barrier: bool) {
        if self.learnt.is_empty() {
            return;
        }
        for l in std::mem::take(&mut self.learnt) {
            if l.acquired || l.atomic {
                self.far.seen.join(&l.view);
            } else if barrier {
                self.far.pending.join(&l.view);
            } else {
                self.learn(l.lanes, &l.view, false, l.atomic);
            }
        }
    }
    pub fn learn(&mut self, lanes: u32, view: &View, acquired: bool, atomic: bool) {
        if view.is_empty() {
            return;
        }
        let same = |l: &&mut Learnt| l.acquired == acquired && l.atomic == atomic && l.view.same(view);
        if let Some(l) = self.learnt.iter_mut().find(same) {
            l.lanes |= lanes;
        } else if self.learnt.len() < 64 {
            self.learnt.push(Learnt { lanes, view: view.clone(), acquired, atomic });
        } else {
            // Too many to keep apart.
            self.far.seen.join(view);
        }
    }
    pub fn join(&mut self, other: &Far) {
        self.far.join(other);
        self.relaxed = None;
    }
    /// A fence of the device's scope by some lanes; `clocks` is what the warp knows of its cluster.
    pub fn fence(&mut self, warp: usize, lanes: u32, clocks: &[u32]) {
        for l in &mut self.learnt {
            if !l.acquired && l.lanes & lanes != 0 {
                l.acquired = true;
                l.lanes &= lanes;
            }
        }
        let pending = std::mem::take(&mut self.far.pending);
        self.far.seen.join(&pending);
        self.far.shown.join(&self.far.seen);
        for l in self.learnt.iter().filter(|l| l.acquired && l.lanes & lanes != 0) {
            self.far.shown.join(&l.view);
        }
        let marks = clocks.iter().enumerate().map(|(x, c)| mark(*c, if x == warp { lanes } else { u32::MAX }));
        self.far.own.resize(clocks.len(), 0);
        for (a, b) in self.far.own.iter_mut().zip(marks) {
            *a = later(*a, b);
        }
        self.relaxed = None;
    }
    /// What a write to a flag by one lane tells: all that it knows in a release, else what its fences came after.
    pub fn publish(&mut self, group: u32, warp: usize, lane: u32, clocks: &[u32], release: bool) -> View {
        let Self { far, learnt, relaxed, .. } = self;
        let told = relaxed.get_or_insert_with(|| {
            let mut v = far.shown.clone();
            if far.own.iter().any(|m| *m != 0) {
                v.join(&View::one(group, far.own.clone()));
            }
            v
        });
        if !release {
            return told.clone();
        }
        let mut v = told.clone();
        v.join(&far.seen);
        for l in learnt.iter().filter(|l| l.acquired && l.lanes >> lane & 1 != 0) {
            v.join(&l.view);
        }
        let marks = clocks.iter().enumerate().map(|(x, c)| mark(*c, if x == warp { 1 << lane } else { u32::MAX }));
        v.join(&View::one(group, marks.collect()));
        v
    }
    /// Whether a lane knows of what a lane `by` of a warp of another cluster did at a clock.
    pub fn knows(&self, lane: u32, (group, warp, clock, by): (u32, usize, u32, u32)) -> bool {
        self.far.seen.covers(group, warp, clock, by)
            || self
                .learnt
                .iter()
                .any(|l| l.acquired && l.lanes >> lane & 1 != 0 && l.view.covers(group, warp, clock, by))
    }
}
