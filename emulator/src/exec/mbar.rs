//! mbarriers: arrivals, bytes to come, phases and waits.

use super::*;
use crate::shared::Mbar;

/// Where blocks that meet at an mbarrier learn of each other.
fn remote_key(env: &Env<'_, '_>, off: u32) -> u64 {
    1 << 62 | env.sh.cluster.index << 28 | u64::from(off)
}

const MAX_TX: i64 = (1 << 20) - 1;

impl Warp {
    pub(super) fn mbar_at<'s>(&self, env: &'s mut Env<'_, '_>, lane: usize, off: u32) -> Run<&'s mut Mbar> {
        if !env.sh.mbars.contains_key(&off) {
            return env.stop(
                Kind::Trap,
                self,
                Some(lane as u32),
                Some(env.sh.local(off as usize) as u64 + u64::from(SHARED_BASE)),
                format!("no mbarrier has been initialised at offset {} of shared memory", env.sh.local(off as usize)),
            );
        }
        env.sh.mbars.get_mut(&off).ok_or(Stop)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn mbar(
        &mut self,
        env: &mut Env<'_, '_>,
        kind: MbarOp,
        a: &Addr,
        remote: bool,
        count: u32,
        tx: u32,
        d: Option<Reg>,
        m: u32,
    ) -> Run<()> {
        let addrs = self.addresses(a);
        let mut given = u32::MAX;
        // Places first: an arrival by the first lanes does not speak for what later ones still have to do.
        let mut offs = [0usize; 32];
        for i in lanes(m) {
            offs[i] =
                if remote { self.cluster_at(env, i, addrs[i], 8, None)? } else { self.shared_at(env, i, addrs[i], 8)? };
        }
        for i in lanes(m) {
            let o = offs[i];
            let off = o as u32;
            let away = o - env.sh.local(o) != env.sh.start(env.rank);
            if away && d.is_some() {
                let text = "an arrival at an mbarrier of another block has no result";
                return env.stop(Kind::Trap, self, Some(i as u32), Some(addrs[i]), text.into());
            }
            let n = if count == NONE { 1 } else { self.w[count as usize][i] };
            let bytes = if tx == NONE { 0 } else { i64::from(self.w[tx as usize][i]) };
            // Who uses an mbarrier has to come after the one who initialised it.
            let c = if matches!(kind, MbarOp::Init | MbarOp::Inval) {
                env.sh.race.write(o, 8, self.gid, self.at, false)
            } else {
                env.sh.race.read(o, 8, self.gid, self.at, false)
            };
            if let Some(c) = c {
                self.race(env, i, o, &c);
            }
            match kind {
                MbarOp::Init => {
                    if n == 0 || i64::from(n) > MAX_TX {
                        return env.stop(
                            Kind::Trap,
                            self,
                            Some(i as u32),
                            Some(addrs[i]),
                            format!("an mbarrier for {n} arrivals"),
                        );
                    }
                    env.sh.write(o, 8, &[0; 4]);
                    env.sh.mbars.insert(off, Mbar { expected: n, pending: n, ..Mbar::default() });
                    continue;
                }
                MbarOp::Inval => {
                    self.mbar_at(env, i, off)?;
                    env.sh.mbars.remove(&off);
                    continue;
                }
                _ => {}
            }
            let mut mb = std::mem::take(self.mbar_at(env, i, off)?);
            let token = mb.phase;
            let mut wrong = None;
            match kind {
                MbarOp::CompleteTx => mb.tx -= bytes,
                _ => mb.tx += bytes,
            }
            if mb.tx.abs() > MAX_TX {
                wrong = Some(format!("{} bytes awaited by an mbarrier: the count ends at {MAX_TX}", mb.tx));
            }
            if kind == MbarOp::Arrive {
                if given != off {
                    env.sh.race.give(self.gid, &mut mb.order);
                    if away && env.l.opt.check_race {
                        mb.remote = true;
                        env.l.order.sync(env.cta_id, remote_key(env, off));
                    }
                    given = off;
                }
                match mb.pending.checked_sub(n) {
                    Some(p) => mb.pending = p,
                    None => {
                        wrong =
                            Some(format!("{n} arrivals at an mbarrier that awaits {} more in this phase", mb.pending))
                    }
                }
            }
            mb.settle();
            env.sh.mbars.insert(off, mb);
            if let Some(w) = wrong {
                return env.stop(Kind::Trap, self, Some(i as u32), Some(addrs[i]), w);
            }
            if let Some(d) = d {
                self.set(d, i, token);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn mbar_wait(
        &mut self,
        env: &mut Env<'_, '_>,
        a: &Addr,
        parity: bool,
        blocking: bool,
        p: u32,
        v: Reg,
        m: u32,
    ) -> Run<Flow> {
        let addrs = self.addresses(a);
        let (mut done, mut first, mut taken) = (0u32, None, u32::MAX);
        for i in lanes(m) {
            let o = self.shared_at(env, i, addrs[i], 8)?;
            let want = self.get(v, i);
            if let Some(c) = env.sh.race.read(o, 8, self.gid, self.at, false) {
                self.race(env, i, o, &c);
            }
            let (id, off) = (self.gid, o as u32);
            let mb = self.mbar_at(env, i, off)?;
            let phase = mb.phase;
            let yes = if parity { phase & 1 != want & 1 } else { phase > want };
            first.get_or_insert((off, phase));
            if yes {
                done |= 1 << i;
                if taken != off {
                    let (order, remote) = (mb.done.clone(), mb.remote);
                    env.sh.race.take(id, &order);
                    if remote {
                        env.l.order.sync(env.cta_id, remote_key(env, off));
                    }
                    taken = off;
                }
            }
        }
        if blocking
            && done == 0
            && let Some((off, phase)) = first
        {
            self.state = State::Mbar(off, phase);
            return Ok(Flow::Block);
        }
        self.set_p(p, done, m);
        Ok(Flow::Next)
    }
}
