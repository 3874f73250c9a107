//! Registers that nothing has written: which lanes of them lack a value, and where that matters.
//!
//! Copying such a register or computing with it is no mistake yet, and compilers leave code that does so for nothing; the result
//! lacks a value too. What is told is the use: in an address, a branch, a store, a matrix instruction.

use super::*;
use crate::operands::place;

/// What registers hold at the start: not a number as half, bfloat16, single or double, and no address.
pub(super) const NO_VALUE: u16 = 0x7ff9;
/// What predicates hold at the start, by lane.
pub(super) const NO_TRUTH: u32 = 0x5555_5555;

impl Warp {
    fn lacks(&self, env: &Env<'_, '_>, r: Reg) -> u32 {
        self.undefined[place(r, env.l.k.n_w, env.l.k.n_d)]
    }

    /// Follows one instruction, before it is executed for the lanes `m` of `mask`.
    pub(super) fn follow_undefined(&mut self, env: &Env<'_, '_>, i: &Ins, mask: u32, m: u32) {
        let (n_w, n_d) = (env.l.k.n_w, env.l.k.n_d);
        if i.guard != NONE {
            let r = place(Reg::P(i.guard), n_w, n_d);
            let bad = self.undefined[r] & mask;
            if bad != 0 {
                self.undefined[r] &= !bad;
                self.tell_undefined(env, bad, "a predicate");
            }
        }
        if m == 0 {
            return;
        }
        if i.op.computes() {
            let from = self.result_lacks(env, &i.op, m);
            i.op.operands(&mut |r, written| {
                if written {
                    let u = &mut self.undefined[place(r, n_w, n_d)];
                    *u = (*u & !m) | (from & m);
                }
            });
            return;
        }
        // The accumulator's value before does not count where the product replaces it.
        let replaces = match &i.op {
            Op::Wgmma(g) => !(self.p[g.scale_d.0 as usize] ^ if g.scale_d.1 { u32::MAX } else { 0 }),
            _ => 0,
        };
        let accumulator: &[u32] = if let Op::Wgmma(g) = &i.op { &g.d } else { &[] };
        let mut bad = 0;
        i.op.operands(&mut |r, written| {
            if !written {
                let counts = if matches!(r, Reg::W(x) if accumulator.contains(&x)) { m & !replaces } else { m };
                let u = &mut self.undefined[place(r, n_w, n_d)];
                bad |= *u & counts;
                *u &= !counts;
            }
        });
        i.op.operands(&mut |r, written| {
            if written {
                self.undefined[place(r, n_w, n_d)] &= !m;
            }
        });
        if bad != 0 {
            self.tell_undefined(env, bad, "an operand");
        }
    }

    /// The lanes of a result that lack a value as the operands do.
    fn result_lacks(&self, env: &Env<'_, '_>, op: &Op, m: u32) -> u32 {
        let lacks = |r: Reg| self.lacks(env, r);
        let of_p = |p: u32| lacks(Reg::P(p));
        let choose = |p: u32, not: bool, a: u32, b: u32| {
            let t = self.p[p as usize] ^ if not { u32::MAX } else { 0 };
            (a & t) | (b & !t) | of_p(p)
        };
        // Where the other operand decides alone, one without a value does no harm.
        let compared = |ab: u32, with: &Option<(BoolOp, u32, bool)>| match with {
            None => ab,
            Some((op, p, not)) => {
                let c = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let open = match op {
                    BoolOp::And => c,
                    BoolOp::Or => !c,
                    BoolOp::Xor => u32::MAX,
                };
                (ab & open) | of_p(*p)
            }
        };
        match op {
            Op::SelW { a, b, p, not, .. } => choose(*p, *not, lacks(Reg::W(*a)), lacks(Reg::W(*b))),
            Op::SelD { a, b, p, not, .. } => choose(*p, *not, lacks(Reg::D(*a)), lacks(Reg::D(*b))),
            Op::SetpW { a, b, with, .. } => compared(lacks(Reg::W(*a)) | lacks(Reg::W(*b)), with),
            Op::SetpD { a, b, with, .. } => compared(lacks(Reg::D(*a)) | lacks(Reg::D(*b)), with),
            Op::SetpF { a, b, with, .. } => compared(lacks(*a) | lacks(*b), with),
            Op::P2 { f, a, b, .. } => {
                let (va, vb, ua, ub) = (self.p[*a as usize], self.p[*b as usize], of_p(*a), of_p(*b));
                let r = f(va, vb);
                (r ^ f(va ^ ua, vb)) | (r ^ f(va, vb ^ ub)) | (r ^ f(va ^ ua, vb ^ ub))
            }
            // Parts of a register are not told apart: one that has a value gives it to the whole.
            Op::Pack2x16 { .. }
            | Op::Pack2x32 { .. }
            | Op::Pack4x16 { .. }
            | Op::Bfi32 { .. }
            | Op::Bfi64 { .. }
            | Op::CvtPack { .. }
            | Op::Lop3 { .. } => {
                let mut all = u32::MAX;
                op.operands(&mut |r, written| {
                    if !written && !self.preset(env, r) {
                        all &= lacks(r);
                    }
                });
                all
            }
            // Lanes get what others have; only where none has anything is it certain.
            Op::Shfl { a, .. } => {
                if lacks(Reg::W(*a)) & m == m {
                    m
                } else {
                    0
                }
            }
            Op::Vote { p, .. } => {
                if of_p(*p) & m == m {
                    m
                } else {
                    0
                }
            }
            Op::Movmatrix { a, .. } | Op::Redux { a, .. } => {
                if lacks(Reg::W(*a)) & m == m {
                    m
                } else {
                    0
                }
            }
            Op::Match { .. } => 0,
            // What is nothing whatever the operand is.
            Op::W2 { a, b, .. } if a == b => 0,
            Op::D2 { a, b, .. } if a == b => 0,
            _ => {
                let mut any = 0;
                op.operands(&mut |r, written| {
                    if !written {
                        any |= lacks(r);
                    }
                });
                any
            }
        }
    }

    /// Whether a register holds a constant.
    fn preset(&self, env: &Env<'_, '_>, r: Reg) -> bool {
        match r {
            Reg::W(r) => env.l.k.const_w.iter().any(|c| c.0 == r),
            Reg::D(r) => env.l.k.const_d.iter().any(|c| c.0 == r),
            _ => false,
        }
    }

    fn tell_undefined(&self, env: &Env<'_, '_>, lanes: u32, what: &str) {
        if env.l.opt.check_init {
            let text = format!("use of {what} whose register nothing has written");
            env.find(Kind::Uninitialised, self, Some(lanes.trailing_zeros()), None, text);
        }
    }
}
