//! Where diverged threads meet again: immediate post-dominators of the control-flow graph.

use crate::ins::*;

/// Sets the reconvergence point of every branch.
pub(crate) fn reconvergence(ins: &mut [Ins]) {
    let n = ins.len();
    if n == 0 {
        return;
    }
    // Blocks begin at targets and after branches and ends.
    let mut lead = vec![false; n];
    lead[0] = true;
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
    let mut block_of = vec![0usize; n];
    for (b, s) in starts.iter().enumerate() {
        let e = starts.get(b + 1).copied().unwrap_or(n);
        block_of[*s..e].fill(b);
    }
    let nb = starts.len();
    let exit = nb;
    let mut succ: Vec<Vec<usize>> = vec![Vec::new(); nb + 1];
    for (b, out) in succ.iter_mut().enumerate().take(nb) {
        let last = starts.get(b + 1).copied().unwrap_or(n) - 1;
        let i = &ins[last];
        let next = if last + 1 < n { block_of[last + 1] } else { exit };
        match &i.op {
            Op::Bra { to, .. } => {
                out.push(block_of[*to as usize]);
                if i.guard != NONE {
                    out.push(next);
                }
            }
            Op::Brx { table, .. } => {
                for t in table.iter() {
                    out.push(block_of[*t as usize]);
                }
                if i.guard != NONE || table.is_empty() {
                    out.push(next);
                }
            }
            Op::Exit | Op::Trap(_) | Op::Assert(_) => {
                out.push(exit);
                if i.guard != NONE {
                    out.push(next);
                }
            }
            _ => out.push(next),
        }
    }
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
