//! What blocks know of each other, as trees that share what they have in common, against maps.
//!
//! The module is taken in by its path: the library itself has no tests of its own, so that it is compiled once and not twice.

#[path = "../src/order/view.rs"]
mod view;

use std::collections::BTreeMap;

use view::{View, later, mark};

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
        assert_eq!(view.is_empty(), map.is_empty());
        let (group, clock, lane) = ((r >> 40) as u32 % 40 * 37, (r >> 30) as u32 % 20, (r >> 50) as u32 % 32);
        let known = map.get(&group).map_or(0, |m| m[1]);
        let upto = (known >> 32) as u32;
        let covered = map.contains_key(&group) && (upto > clock || upto == clock && known >> lane & 1 == 1);
        assert_eq!(view.covers(group, 1, clock, lane), covered);
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
