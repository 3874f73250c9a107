//! Loops that wait for something nobody can do any more.
//!
//! A warp that comes back to the same instruction with the same registers, while nothing anywhere has changed and it has done
//! nothing that could, will do so for ever, unless others change what it reads. Where that holds for all warps that are left, and no
//! copy is under way, the launch does not end. Where only some lanes of a warp go round, the others of it go on, as on hardware.

use super::*;

/// Instructions without a barrier or the like after which a warp is looked at, and fewer where its lanes have parted and some may
/// wait for others of them; and the longest loop that is followed.
const PATIENCE: u32 = 10_000;
const PARTED: u32 = 500;
const LONGEST: u32 = 4_000;

/// The state of a warp at an instruction to which it may come back.
pub(super) struct Probe {
    pc: u32,
    stack: Vec<Frame>,
    w: Vec<V>,
    d: Vec<D>,
    p: Vec<u32>,
    changes: u64,
    steps: u32,
    /// Where the loop reads what it waits for.
    reads: u32,
}

/// Whether an instruction changes nothing but registers; of atomic operations that is known when they are done.
pub(crate) fn idle(op: &Op) -> bool {
    matches!(
        op,
        Op::Ld { .. }
            | Op::Atom { .. }
            | Op::Atom128(_)
            | Op::Bra { .. }
            | Op::Brx { .. }
            | Op::Nop
            | Op::Prefetch
            | Op::Fence { .. }
            | Op::FenceAsync
            | Op::MbarWait { .. }
            | Op::Vote { .. }
            | Op::Shfl { .. }
            | Op::Match { .. }
            | Op::Redux { .. }
            | Op::Elect { .. }
            | Op::Activemask { .. }
            | Op::WarpSync { .. }
    ) || op.computes()
}

impl Warp {
    /// Whether the warp goes round a loop that only others can end, and they have not done anything since.
    pub(super) fn still_spins(&self, l: &Launch<'_>) -> bool {
        self.spins.is_some_and(|(changes, _)| changes == l.changes.load(Relaxed))
    }
    /// Begins to watch a warp that has run for long.
    pub(super) fn watch_spin(&mut self, l: &Launch<'_>, turn: u32) {
        // One that has been found waiting is looked at again at once.
        if self.spins.take().is_some() {
            self.since = PATIENCE;
        }
        self.since = self.since.saturating_add(turn.min(PATIENCE));
        if self.probe.is_none()
            && self.since > if self.stack.len() > 1 { PARTED } else { PATIENCE }
            && let Some(top) = self.stack.last()
        {
            self.since = 0;
            self.probe = Some(Box::new(Probe {
                pc: top.pc,
                stack: self.stack.clone(),
                w: self.w.clone(),
                d: self.d.clone(),
                p: self.p.clone(),
                changes: l.changes.load(Relaxed),
                steps: 0,
                reads: NONE,
            }));
        }
    }
    /// Looks at a watched warp before an instruction; says whether its turn is over as it goes round.
    pub(super) fn goes_round(&mut self, l: &Launch<'_>, pc: u32) -> bool {
        let Some(p) = &mut self.probe else { return false };
        if self.changed || p.steps > LONGEST || p.changes != l.changes.load(Relaxed) {
            self.probe = None;
            return false;
        }
        p.steps += 1;
        if matches!(l.k.ins[pc as usize].op, Op::Ld { .. } | Op::Atom { .. } | Op::Atom128(_) | Op::MbarWait { .. }) {
            p.reads = pc;
        }
        let back = p.pc == pc
            && p.steps > 1
            && p.stack == self.stack
            && p.w == self.w
            && p.d == self.d
            && p.p == self.p
            && self.late.is_empty();
        if !back {
            // A state in the middle of what comes before the loop never comes back: take a later one.
            if p.steps.is_power_of_two() && p.steps > 8 && p.pc != pc {
                p.pc = pc;
                p.stack.clone_from(&self.stack);
                p.w.clone_from(&self.w);
                p.d.clone_from(&self.d);
                p.p.clone_from(&self.p);
            }
            return false;
        }
        let (changes, reads) = (p.changes, p.reads);
        self.probe = None;
        // Lanes that go round one after another, and nothing has come of it, will do so for ever.
        if self.may_part(changes) {
            return false;
        }
        self.spins = Some((changes, if reads == NONE { pc } else { reads }));
        true
    }
    /// Lets lanes go on that are not in the loop, if there are any: those that run later anyhow, or those that have left the loop,
    /// or never came to it, and would wait for the rest.
    fn others_first(&mut self) -> bool {
        let n = self.stack.len() - 1;
        let mut above = 0;
        for i in (0..=n).rev() {
            let f = self.stack[i];
            if f.mask & above == 0 && i < n && !f.wait && f.pc != f.rpc {
                let f = self.stack.remove(i);
                self.stack.push(f);
                return true;
            }
            above |= f.mask;
        }
        // The innermost frame with lanes that no frame above it runs: they part, and meet the others where the frame itself ends.
        let mut inside = self.stack[n].mask;
        for i in (0..n).rev() {
            let f = self.stack[i];
            let out = f.mask & !inside;
            if f.pc == f.rpc {
                // It ends as soon as it is looked at: its lanes stand where the frame below goes on.
                continue;
            }
            inside |= f.mask;
            if out == 0 || f.wait {
                continue;
            }
            let rest = f.mask & !out;
            for g in &mut self.stack[i + 1..n] {
                g.mask &= !out;
            }
            if f.rpc == PC_END {
                self.stack[i].mask = rest;
            } else {
                self.stack[i].pc = f.rpc;
                self.stack.insert(i + 1, Frame { mask: rest, ..f });
            }
            self.stack.retain(|f| f.mask != 0);
            self.stack.push(Frame { mask: out, ..f });
            return true;
        }
        false
    }
    /// Nothing else can run, and the warp waits for an mbarrier: lanes of it that are elsewhere may be those that it waits for.
    pub(super) fn part(&mut self, l: &Launch<'_>) -> bool {
        if !matches!(self.state, State::Mbar(..)) || !self.may_part(l.changes.load(Relaxed)) {
            return false;
        }
        self.state = State::Ready;
        true
    }
    /// Whether lanes that wait have made room for others, which helps so many times only while nothing changes.
    fn may_part(&mut self, changes: u64) -> bool {
        if self.parted.0 != changes {
            self.parted = (changes, 0);
        }
        self.parted.1 += 1;
        self.parted.1 <= 2 * self.stack.len() as u32 && self.others_first()
    }
}
