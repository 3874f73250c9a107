//! The barriers of a block.

use super::*;

#[derive(Default)]
pub(super) struct Bar {
    /// Warps that wait, and threads that have arrived.
    pub waiting: u32,
    pub threads: u32,
    /// Threads to wait for; zero for all of the block.
    pub expect: u32,
    pub arrived_warps: u64,
    pub popc: u32,
    pub and: bool,
    pub or: bool,
}
impl Warp {
    pub(super) fn finish_barrier(&mut self, bar: &Bar) {
        // The instruction's result is written when the barrier opens.
        if let Some(f) = self.stack.last_mut() {
            f.pc = self.at + 1;
        }
        if let Some((red, d, mask)) = self.red.take() {
            match (red, d) {
                (BarRed::Popc(_), Reg::W(d)) => put(&mut self.w[d as usize], &[bar.popc; 32], mask),
                (BarRed::And(_), Reg::P(d)) => self.set_p(d, if bar.and { u32::MAX } else { 0 }, mask),
                (BarRed::Or(_), Reg::P(d)) => self.set_p(d, if bar.or { u32::MAX } else { 0 }, mask),
                _ => {}
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn barrier(
        &mut self,
        env: &mut Env<'_, '_>,
        id: u32,
        count: u32,
        arrive: bool,
        red: BarRed,
        not: bool,
        d: Reg,
        m: u32,
    ) -> Run<Flow> {
        if !self.together(env, m, u32::MAX, "a barrier")? {
            return Ok(Flow::Block);
        }
        let lane = m.trailing_zeros() as usize;
        let b = self.w[id as usize][lane];
        if b > 15 {
            return env.stop(Kind::Trap, self, Some(lane as u32), None, format!("barrier {b}: there are 16"));
        }
        let expect = if count == NONE { 0 } else { self.w[count as usize][lane] };
        if count != NONE && (expect == 0 || expect % 32 != 0) {
            return env.stop(
                Kind::Trap,
                self,
                Some(lane as u32),
                None,
                format!("a barrier for {expect} threads: a multiple of 32 is needed"),
            );
        }
        if expect > env.cta_threads.div_ceil(32) * 32 {
            return env.stop(
                Kind::Deadlock,
                self,
                Some(lane as u32),
                None,
                format!("a barrier for {expect} threads in a block of {}", env.cta_threads),
            );
        }
        env.st.c.barriers += 1;
        let bar = &mut env.bars[b as usize];
        if bar.arrived_warps != 0 && bar.expect != expect {
            let e = bar.expect;
            return env.stop(
                Kind::Deadlock,
                self,
                Some(lane as u32),
                None,
                format!("barrier {b} is awaited for {e} and for {expect} threads (0: all)"),
            );
        }
        let bar = &mut env.bars[b as usize];
        if bar.arrived_warps == 0 {
            bar.and = true;
        }
        bar.expect = expect;
        bar.arrived_warps |= 1 << self.id;
        bar.threads += 32;
        let live = m;
        if let BarRed::Popc(p) | BarRed::And(p) | BarRed::Or(p) = red {
            let v = self.p[p as usize] ^ if not { u32::MAX } else { 0 };
            bar.popc += (v & live).count_ones();
            bar.and &= v & live == live;
            bar.or |= v & live != 0;
        }
        env.sh.race.barrier_arrive((16 * env.rank + b) as usize, self.gid);
        if arrive {
            return Ok(Flow::Next);
        }
        bar.waiting += 1;
        self.red = if red == BarRed::None { None } else { Some((red, d, m)) };
        self.state = State::Barrier(b);
        Ok(Flow::Block)
    }
}
