//! The control-flow graph of a kernel, and where diverged threads meet again: its immediate post-dominators.

use crate::ins::*;

/// The control-flow graph of a kernel.
pub(crate) struct Graph {
    /// The first instruction of every block.
    pub starts: Vec<usize>,
    /// The block of every instruction.
    pub of: Vec<usize>,
    /// The blocks that can follow a block; the number after the last stands for the end of the thread.
    pub succ: Vec<Vec<usize>>,
}

impl Graph {
    pub fn new(ins: &[Ins]) -> Self {
        let n = ins.len();
        // Blocks begin at targets and after branches and ends.
        let mut lead = vec![false; n];
        if let Some(first) = lead.first_mut() {
            *first = true;
        }
        for (pc, i) in ins.iter().enumerate() {
            let ends = match &i.op {
                Op::Bra { to, .. } => {
                    lead[*to as usize] = true;
                    true
                }
                Op::Brx { table, .. } => {
                    table.iter().for_each(|t| lead[*t as usize] = true);
                    true
                }
                Op::Exit | Op::Trap(_) | Op::Assert(_) => true,
                _ => false,
            };
            if ends && pc + 1 < n {
                lead[pc + 1] = true;
            }
        }
        let starts: Vec<usize> = (0..n).filter(|pc| lead[*pc]).collect();
        let nb = starts.len();
        let mut of = vec![0usize; n];
        for (b, s) in starts.iter().enumerate() {
            let e = starts.get(b + 1).copied().unwrap_or(n);
            of[*s..e].fill(b);
        }
        let mut succ: Vec<Vec<usize>> = vec![Vec::new(); nb + 1];
        for (b, out) in succ.iter_mut().enumerate().take(nb) {
            let last = starts.get(b + 1).copied().unwrap_or(n) - 1;
            follow(ins, last, |next| out.push(of.get(next).copied().unwrap_or(nb)));
        }
        Self { starts, of, succ }
    }
}

/// Names the instructions that can come after one; a number past the last stands for the end of the thread.
pub(crate) fn follow(ins: &[Ins], pc: usize, mut to: impl FnMut(usize)) {
    let i = &ins[pc];
    let falls_through = match &i.op {
        Op::Bra { to: target, .. } => {
            to(*target as usize);
            i.guard != NONE
        }
        Op::Brx { table, .. } => {
            table.iter().for_each(|t| to(*t as usize));
            i.guard != NONE || table.is_empty()
        }
        Op::Exit | Op::Trap(_) | Op::Assert(_) => {
            to(ins.len());
            i.guard != NONE
        }
        _ => true,
    };
    if falls_through {
        to(pc + 1);
    }
}

/// Sets the reconvergence point of every branch.
pub(crate) fn reconvergence(ins: &mut [Ins]) {
    let n = ins.len();
    if n == 0 {
        return;
    }
    let Graph { starts, of: block_of, succ } = Graph::new(ins);
    let nb = starts.len();
    let exit = nb;
    let mut pred: Vec<Vec<usize>> = vec![Vec::new(); nb + 1];
    for (b, s) in succ.iter().enumerate() {
        for t in s {
            pred[*t].push(b);
        }
    }
    // Post-order of the reversed graph, from the exit.
    let mut order = Vec::with_capacity(nb + 1);
    let mut state = vec![0u8; nb + 1];
    let mut stack = vec![(exit, 0usize)];
    state[exit] = 1;
    while let Some((b, i)) = stack.pop() {
        if i < pred[b].len() {
            stack.push((b, i + 1));
            let p = pred[b][i];
            if state[p] == 0 {
                state[p] = 1;
                stack.push((p, 0));
            }
        } else {
            order.push(b);
        }
    }
    let mut rank = vec![usize::MAX; nb + 1];
    for (i, b) in order.iter().enumerate() {
        rank[*b] = i;
    }
    let none = usize::MAX;
    let mut ipdom = vec![none; nb + 1];
    ipdom[exit] = exit;
    let meet = |ipdom: &[usize], mut a: usize, mut b: usize| {
        while a != b {
            while rank[a] < rank[b] {
                a = ipdom[a];
            }
            while rank[b] < rank[a] {
                b = ipdom[b];
            }
        }
        a
    };
    let mut changed = true;
    while changed {
        changed = false;
        for b in order.iter().rev() {
            if *b == exit {
                continue;
            }
            let mut new = none;
            for s in &succ[*b] {
                if rank[*s] == usize::MAX || ipdom[*s] == none {
                    continue;
                }
                new = if new == none { *s } else { meet(&ipdom, new, *s) };
            }
            if new != none && ipdom[*b] != new {
                ipdom[*b] = new;
                changed = true;
            }
        }
    }
    for pc in 0..n {
        let b = block_of[pc];
        let r = match ipdom[b] {
            x if x == none || x == exit => PC_END,
            x => starts[x] as u32,
        };
        match &mut ins[pc].op {
            Op::Bra { rpc, .. } | Op::Brx { rpc, .. } => *rpc = r,
            _ => {}
        }
    }
}
