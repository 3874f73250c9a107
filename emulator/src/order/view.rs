//! What is known of other clusters, in a form that is handed on and joined often.
//!
//! Views are trees whose nodes are shared. Two of them that have come about from one another differ in few nodes, and a join looks at
//! those alone, so that a launch in which every block learns of all before it costs little more for each block than for the first.

use std::sync::Arc;

/// A clock of a warp with lanes: what these lanes did up to it is known, and of all lanes what comes before it.
pub(crate) fn mark(clock: u32, lanes: u32) -> u64 {
    u64::from(clock) << 32 | u64::from(lanes)
}
pub(crate) fn later(a: u64, b: u64) -> u64 {
    if a >> 32 == b >> 32 { a | b } else { a.max(b) }
}
fn covers(m: u64, clock: u32, lane: u32) -> bool {
    let upto = (m >> 32) as u32;
    upto > clock || (upto == clock && m >> lane & 1 != 0)
}

/// Marks of the warps of a cluster.
type Marks = Arc<[u64]>;

const BITS: u32 = 4;
const WIDE: usize = 1 << BITS;

/// Clusters by parts of their number, the highest first.
#[derive(Clone, Debug)]
enum Node {
    Inner([Option<Arc<Node>>; WIDE]),
    Leaf([Option<Marks>; WIDE]),
}

/// What is known of other clusters: by their number a mark for each of their warps.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    root: Option<Arc<Node>>,
    /// Inner nodes on the way to a leaf.
    height: u32,
}

/// What comes of two parts of trees.
#[derive(Clone, Copy, Default, PartialEq)]
struct Same {
    /// Whether it is what the one was, and whether it is what the other was.
    mine: bool,
    theirs: bool,
}

impl View {
    pub fn one(group: u32, marks: Vec<u64>) -> Self {
        let mut leaf: [Option<Marks>; WIDE] = Default::default();
        leaf[group as usize % WIDE] = Some(marks.into());
        let mut v = Self { root: Some(Arc::new(Node::Leaf(leaf))), height: 0 };
        let mut rest = group >> BITS;
        while rest != 0 {
            v.lift(rest as usize % WIDE);
            rest >>= BITS;
        }
        v
    }
    /// Puts an inner node over the root, which becomes one of its parts.
    fn lift(&mut self, at: usize) {
        let mut inner: [Option<Arc<Node>>; WIDE] = Default::default();
        inner[at] = self.root.take();
        self.root = Some(Arc::new(Node::Inner(inner)));
        self.height += 1;
    }
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }
    pub fn same(&self, other: &Self) -> bool {
        matches!((&self.root, &other.root), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
    }
    pub fn marks(&self, group: u32) -> Option<&[u64]> {
        if group >> (BITS * self.height) >> BITS != 0 {
            return None;
        }
        let mut node = self.root.as_ref()?;
        let mut height = self.height;
        loop {
            let at = (group >> (BITS * height)) as usize % WIDE;
            match &**node {
                Node::Inner(parts) => node = parts[at].as_ref()?,
                Node::Leaf(parts) => return parts[at].as_deref(),
            }
            height = height.saturating_sub(1);
        }
    }
    pub fn covers(&self, group: u32, warp: usize, clock: u32, lane: u32) -> bool {
        self.marks(group).and_then(|m| m.get(warp)).is_some_and(|m| covers(*m, clock, lane))
    }
    pub fn join(&mut self, other: &Self) {
        let Some(theirs) = &other.root else { return };
        let Some(mine) = &self.root else {
            self.clone_from(other);
            return;
        };
        if Arc::ptr_eq(mine, theirs) {
            return;
        }
        if self.height < other.height {
            while self.height < other.height {
                self.lift(0);
            }
        } else if self.height > other.height {
            let mut lifted = other.clone();
            while lifted.height < self.height {
                lifted.lift(0);
            }
            return self.join(&lifted);
        }
        if let Some(mine) = &mut self.root {
            join(mine, theirs);
        }
    }
}

/// Joins a part of a tree into another. Where the two say the same, theirs is taken, so that trees which are joined to and fro come to
/// share what they have in common.
fn join(mine: &mut Arc<Node>, theirs: &Arc<Node>) -> Same {
    if Arc::ptr_eq(mine, theirs) {
        return Same { mine: true, theirs: true };
    }
    let (node, same) = match (&**mine, &**theirs) {
        (Node::Inner(a), Node::Inner(b)) => {
            let (parts, same) = join_parts(a, b, join);
            (Node::Inner(parts), same)
        }
        (Node::Leaf(a), Node::Leaf(b)) => {
            let (parts, same) = join_parts(a, b, join_marks);
            (Node::Leaf(parts), same)
        }
        // Trees of one height have their leaves at one depth.
        _ => return Same { mine: true, theirs: false },
    };
    if same.theirs {
        *mine = theirs.clone();
    } else if !same.mine {
        *mine = Arc::new(node);
    }
    same
}

fn join_parts<T: Clone>(
    a: &[Option<T>; WIDE],
    b: &[Option<T>; WIDE],
    join: impl Fn(&mut T, &T) -> Same,
) -> ([Option<T>; WIDE], Same) {
    let mut out = a.clone();
    let mut same = Same { mine: true, theirs: true };
    for (a, b) in out.iter_mut().zip(b) {
        match (&mut *a, b) {
            (Some(a), Some(b)) => {
                let s = join(a, b);
                same = Same { mine: same.mine && s.mine, theirs: same.theirs && s.theirs };
            }
            (None, Some(b)) => {
                *a = Some(b.clone());
                same.mine = false;
            }
            (Some(_), None) => same.theirs = false,
            (None, None) => {}
        }
    }
    (out, same)
}

fn join_marks(mine: &mut Marks, theirs: &Marks) -> Same {
    if Arc::ptr_eq(mine, theirs) {
        return Same { mine: true, theirs: true };
    }
    let is = |x: &Marks, of: &Marks| x.iter().zip(of.iter()).all(|(x, y)| later(*x, *y) == *x);
    let same = Same { mine: is(mine, theirs), theirs: is(theirs, mine) };
    if same.theirs {
        *mine = theirs.clone();
    } else if !same.mine {
        *mine = mine.iter().zip(theirs.iter()).map(|(a, b)| later(*a, *b)).collect();
    }
    same
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn noise(i: u64) -> u64 {
        let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ x >> 32
    }

    /// Joins of many views, against maps that are joined mark by mark.
    #[test]
    fn joins_are_those_of_maps() {
        type Map = BTreeMap<u32, Vec<u64>>;
        let mut all: Vec<(View, Map)> = vec![Default::default(); 7];
        for step in 0..4000u64 {
            let r = noise(step);
            let (to, from) = ((r % 7) as usize, (r >> 8) as usize % 7);
            let (view, map) = all[from].clone();
            if r >> 16 & 1 == 0 {
                // Numbers of every size, mostly ones that come again.
                let group = (noise(r) % 40) as u32 * [1, 37, 5003, 400_000][(r >> 20) as usize % 4];
                let marks = vec![mark(r as u32 >> 28, 1 << (r >> 33 & 3)), mark(r as u32 >> 27, u32::MAX)];
                all[to].0.join(&View::one(group, marks.clone()));
                let known = all[to].1.entry(group).or_insert_with(|| vec![0; 2]);
                known.iter_mut().zip(marks).for_each(|(a, b)| *a = later(*a, b));
            } else {
                all[to].0.join(&view);
                for (g, marks) in map {
                    let known = all[to].1.entry(g).or_insert_with(|| vec![0; 2]);
                    known.iter_mut().zip(marks).for_each(|(a, b)| *a = later(*a, b));
                }
            }
            let (view, map) = &all[to];
            for (g, m) in map {
                assert_eq!(view.marks(*g), Some(&m[..]), "cluster {g} after step {step}");
            }
            for g in (0..40).map(|i| i * 5003 + 1) {
                assert_eq!(view.marks(g).is_some(), map.contains_key(&g));
            }
        }
    }

    /// Trees that say the same come to be the same.
    #[test]
    fn what_is_joined_to_and_fro_is_shared() {
        let (mut a, mut b) = (View::default(), View::default());
        for g in 0..1000 {
            a.join(&View::one(g, vec![mark(1, 1)]));
            b.join(&View::one(999 - g, vec![mark(1, 1)]));
        }
        assert!(!a.same(&b));
        a.join(&b);
        assert!(a.same(&b));
    }
}
