//! Branches, and where the lanes that part meet again.

use super::*;

impl Warp {
    pub(super) fn branch(&mut self, to: u32, rpc: u32, mask: u32, taken: u32) -> Flow {
        let n = self.stack.len() - 1;
        let pc = self.at;
        // Where the paths never meet, they meet at the latest where the branch around them does.
        let rpc = if rpc == PC_END { self.stack[n].rpc } else { rpc };
        let not = mask & !taken;
        if not == 0 {
            self.stack[n].pc = to;
        } else if taken == 0 {
            self.stack[n].pc = pc + 1;
        } else {
            if rpc == PC_END || (self.stack[n].rpc == rpc && n > 0) {
                self.stack.pop();
            } else {
                self.stack[n].pc = rpc;
            }
            // The path that stands first in the text runs first.
            let (a, b) =
                (Frame { pc: pc + 1, rpc, mask: not, wait: false }, Frame { pc: to, rpc, mask: taken, wait: false });
            for f in if to > pc { [b, a] } else { [a, b] } {
                if f.pc != rpc {
                    self.stack.push(f);
                }
            }
        }
        Flow::Jump
    }

    pub(super) fn branch_table(
        &mut self,
        env: &Env<'_, '_>,
        index: u32,
        table: &[u32],
        rpc: u32,
        mask: u32,
        m: u32,
    ) -> Run<Flow> {
        let v = self.w[index as usize];
        let mut groups: Vec<(u32, u32)> = Vec::new();
        let mut add = |to: u32, bit: u32| match groups.iter_mut().find(|g| g.0 == to) {
            Some(g) => g.1 |= bit,
            None => groups.push((to, bit)),
        };
        for i in lanes(mask) {
            if m >> i & 1 == 0 {
                add(self.at + 1, 1 << i);
                continue;
            }
            match table.get(v[i] as usize) {
                Some(t) => add(*t, 1 << i),
                None => {
                    return env.stop(
                        Kind::Trap,
                        self,
                        Some(i as u32),
                        None,
                        format!("index {} beyond a branch table of {}", v[i], table.len()),
                    );
                }
            }
        }
        let n = self.stack.len() - 1;
        let rpc = if rpc == PC_END { self.stack[n].rpc } else { rpc };
        if groups.len() == 1 {
            self.stack[n].pc = groups[0].0;
            return Ok(Flow::Jump);
        }
        if rpc == PC_END || (self.stack[n].rpc == rpc && n > 0) {
            self.stack.pop();
        } else {
            self.stack[n].pc = rpc;
        }
        for (pc, mask) in groups {
            if pc != rpc {
                self.stack.push(Frame { pc, rpc, mask, wait: false });
            }
        }
        Ok(Flow::Jump)
    }
}
