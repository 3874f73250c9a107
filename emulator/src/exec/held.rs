//! Loads from shared memory that bring what nothing has written.
//!
//! Kernels with several stages load the fragments of the step after the last one, too, and do nothing with them. So such a load is told
//! of once something is done with what it brought, at the load's own place; where no instruction of the kernel could, at once.

use super::*;

/// What is to be told of a load.
struct Bad {
    lane: u32,
    address: u64,
    text: String,
}

/// A register whose value came from a load that is to be told of if it is used.
struct Kept {
    reg: Reg,
    lanes: u32,
    /// The load, by its place among those kept.
    load: usize,
}

/// The loads of a warp that may have to be told of.
#[derive(Default)]
pub(super) struct Held {
    /// Whether a load is under way of which the registers are read somewhere.
    open: bool,
    bad: Vec<Bad>,
    kept: Vec<Kept>,
    loads: Vec<(u32, Vec<Bad>)>,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Warp {
    /// A load begins; says whether what it lacks is told only when it is used.
    pub(super) fn hold(&mut self, env: &Env<'_, '_>) {
        self.held.open = env.l.k.loads_read[self.at as usize];
    }
    /// A lane reads shared memory that has no value: it is told now or later.
    pub(super) fn lacks(&mut self, env: &Env<'_, '_>, lane: usize, address: u64, text: String) {
        if self.held.open {
            self.held.bad.push(Bad { lane: lane as u32, address, text });
        } else {
            env.find(Kind::Uninitialised, self, Some(lane as u32), Some(address), text);
        }
    }
    /// The load ends: what came from the lanes in want is kept in mind, by the register and the lanes that got it.
    pub(super) fn keep(&mut self, to: impl Fn(u32) -> Vec<(Reg, u32)>) {
        let held = &mut self.held;
        held.open = false;
        if held.bad.is_empty() {
            return;
        }
        let bad = std::mem::take(&mut held.bad);
        let load = held.loads.len();
        for b in &bad {
            for (reg, lanes) in to(b.lane) {
                match held.kept.iter_mut().find(|k| k.reg == reg && k.load == load) {
                    Some(k) => k.lanes |= lanes,
                    None => held.kept.push(Kept { reg, lanes, load }),
                }
            }
        }
        held.loads.push((self.at, bad));
    }
    /// An instruction comes: what it uses is told, what it copies is kept in mind, and what it writes over is forgotten.
    #[cold]
    pub(super) fn heed(&mut self, env: &Env<'_, '_>, i: &Ins, m: u32) {
        let mut held = std::mem::take(&mut self.held);
        let copy = match i.op {
            Op::W1 { d, a, .. } if env.l.k.opcodes[i.name as usize].starts_with("mov.") => Some((Reg::W(d), Reg::W(a))),
            Op::D1 { d, a, .. } if env.l.k.opcodes[i.name as usize].starts_with("mov.") => Some((Reg::D(d), Reg::D(a))),
            _ => None,
        };
        let (mut used, mut written) = (Vec::new(), Vec::new());
        i.op.operands(&mut |r, w| if w { written.push(r) } else { used.push(r) });
        if copy.is_none() {
            for k in &held.kept {
                if k.lanes & m != 0 && used.contains(&k.reg) {
                    let (pc, bad) = &mut held.loads[k.load];
                    for b in std::mem::take(bad) {
                        env.l.found(Kind::Uninitialised, *pc, env.cta, self.id, Some(b.lane), Some(b.address), b.text);
                    }
                }
            }
        }
        let copies: Vec<Kept> = copy.map_or_else(Vec::new, |(d, s)| {
            let of = held.kept.iter().filter(|k| k.reg == s && k.lanes & m != 0);
            of.map(|k| Kept { reg: d, lanes: k.lanes & m, load: k.load }).collect()
        });
        for k in &mut held.kept {
            if written.contains(&k.reg) {
                k.lanes &= !m;
            }
        }
        held.kept.extend(copies);
        let loads = &held.loads;
        held.kept.retain(|k| k.lanes != 0 && !loads[k.load].1.is_empty());
        if held.kept.is_empty() {
            held.loads.clear();
        }
        self.held = held;
    }
}
