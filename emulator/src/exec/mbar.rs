//! mbarriers: arrivals, bytes to come, phases and waits.

use super::*;
use crate::shared::{Flight, Mbar, What};

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
        relaxed: bool,
        count: u32,
        tx: u32,
        d: Option<Reg>,
        m: u32,
    ) -> Run<()> {
        let addrs = self.addresses(a);
        let mut given = u32::MAX;
        // The mbarrier whose phase the latest arrival has ended.
        let mut ended = u32::MAX;
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
                            format!("an mbarrier for {n} arrivals: one to {MAX_TX} are possible"),
                        );
                    }
                    if let Some(old) = env.sh.mbars.get(&off) {
                        // Waiting on it or copying to it goes astray; the ISA calls it undefined either way.
                        let text = format!(
                            "mbarrier.init at offset {} of shared memory, where an mbarrier is in phase {} and was not \
                             invalidated",
                            env.sh.local(o),
                            old.phase
                        );
                        return env.stop(Kind::Trap, self, Some(i as u32), Some(addrs[i]), text);
                    }
                    env.sh.write(o, 8, &[0; 4]);
                    env.sh.mbars.insert(off, Mbar { expected: n, pending: n, ..Mbar::default() });
                    continue;
                }
                MbarOp::Inval => {
                    self.mbar_at(env, i, off)?;
                    env.sh.mbars.remove(&off);
                    env.sh.forget(o, 8);
                    continue;
                }
                _ => {}
            }
            let mut mb = std::mem::take(self.mbar_at(env, i, off)?);
            mb.dropped |= kind == MbarOp::Drop;
            // The phase, and below it the arrivals that were pending.
            let token = mb.phase << 20 | u64::from(mb.pending);
            let mut wrong = None;
            match kind {
                MbarOp::CompleteTx => mb.tx -= bytes,
                _ => mb.tx += bytes,
            }
            if mb.tx.abs() > MAX_TX {
                wrong = Some(format!("{} bytes awaited by an mbarrier: the count ends at {MAX_TX}", mb.tx));
            }
            if matches!(kind, MbarOp::Arrive | MbarOp::Drop) {
                if given != off {
                    if relaxed {
                        env.sh.race.give_relaxed(self.gid, &mut mb.order, !away);
                    } else {
                        env.sh.race.give(self.gid, &mut mb.order);
                    }
                    given = off;
                }
                if kind == MbarOp::Drop {
                    match mb.expected.checked_sub(n) {
                        Some(e) => mb.expected = e,
                        None => wrong = Some(format!("{n} arrivals dropped of an mbarrier for {}", mb.expected)),
                    }
                }
                match mb.pending.checked_sub(n) {
                    Some(p) => mb.pending = p,
                    None => {
                        wrong =
                            Some(format!("{n} arrivals at an mbarrier that awaits {} more in this phase", mb.pending))
                    }
                }
                mb.came(self.gid, self.at, n);
            }
            let before = mb.phase;
            mb.settle();
            let (now, unseen) = (mb.phase, mb.unseen.take());
            env.sh.mbars.insert(off, mb);
            self.unseen_phase(env, i, addrs[i], unseen);
            if ended == off && matches!(kind, MbarOp::Arrive) && env.l.opt.check_race {
                let text = format!(
                    "arrivals of one instruction end phase {} of an mbarrier and go on in phase {before}: there are more of them than it awaits",
                    before.wrapping_sub(1)
                );
                env.find(Kind::Race, self, Some(i as u32), Some(addrs[i]), text);
            }
            ended = if now == before { u32::MAX } else { off };
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
        relaxed: bool,
        p: u32,
        v: Reg,
        m: u32,
    ) -> Run<Flow> {
        let addrs = self.addresses(a);
        let (mut done, mut first, mut taken, mut odd, mut one) = (0u32, None, u32::MAX, None, true);
        for i in lanes(m) {
            let o = self.shared_at(env, i, addrs[i], 8)?;
            let want = self.get(v, i);
            if let Some(c) = env.sh.race.read(o, 8, self.gid, self.at, false) {
                self.race(env, i, o, &c);
            }
            let (id, off) = (self.gid, o as u32);
            let mb = self.mbar_at(env, i, off)?;
            let phase = mb.phase;
            if let Some(unseen) = mb.unseen.take() {
                odd = Some((i, unseen));
            }
            let yes = if parity { phase & 1 != want & 1 } else { phase > want >> 20 };
            if !parity && phase > (want >> 20) + 1 {
                let text = format!(
                    "a wait with the state of phase {} of an mbarrier that is in phase {phase}: only the phase before can be \
                     asked about",
                    want >> 20
                );
                return env.stop(Kind::Trap, self, Some(i as u32), Some(addrs[i]), text);
            }
            one &= *first.get_or_insert((off, phase)) == (off, phase);
            if yes {
                done |= 1 << i;
                mb.seen = true;
                if taken != off {
                    let order = mb.done.clone();
                    if relaxed {
                        env.sh.race.take_relaxed(id, &order);
                    } else {
                        env.sh.race.take(id, &order);
                    }
                    taken = off;
                }
            }
        }
        if let Some((lane, unseen)) = odd {
            self.unseen_phase(env, lane, addrs[lane], Some(unseen));
        }
        if blocking && env.l.opt.check_race && env.l.k.ignored.contains(&self.at) {
            let text =
                "the result of mbarrier.try_wait is looked at by nobody: it can come back before the phase has ended";
            env.find(Kind::Race, self, None, None, text.into());
        }
        // Lanes that ask about several mbarriers go on with the first that answers: they ask again and again.
        if blocking
            && one
            && done == 0
            && !(env.l.opt.shuffle != 0 && draw(&mut self.random).is_multiple_of(4))
            && let Some((off, phase)) = first
        {
            self.state = State::Mbar(off, phase);
            return Ok(Flow::Block);
        }
        self.set_p(p, done, m);
        Ok(Flow::Next)
    }

    /// Tells that a phase of an mbarrier ended unseen before the next one did.
    fn unseen_phase(&self, env: &Env<'_, '_>, lane: usize, address: u64, unseen: Option<u64>) {
        if let Some(phase) = unseen.filter(|_| env.l.opt.check_race) {
            let text = format!(
                "phase {} of an mbarrier has ended, and nobody had seen the end of phase {phase}: only the phase before can be waited for",
                phase + 1
            );
            env.find(Kind::Race, self, Some(lane as u32), Some(address), text);
        }
    }

    /// `cp.async.mbarrier.arrive`: the thread's copies so far leave for the mbarrier, which hears of them when they land.
    pub(super) fn copy_arrive(&mut self, env: &mut Env<'_, '_>, a: &Addr, noinc: bool, m: u32) -> Run<()> {
        let addrs = self.addresses(a);
        let clock = env.sh.race.close_copies(self.gid);
        let mut copies = std::mem::take(&mut self.copies);
        let mut left = m;
        while left != 0 {
            // Lanes with the same mbarrier are one flight.
            let first = left.trailing_zeros() as usize;
            let part = lanes(left).filter(|i| addrs[*i] == addrs[first]).fold(0u32, |s, i| s | 1 << i);
            left &= !part;
            let o = self.shared_at(env, first, addrs[first], 8)?;
            if let Some(c) = env.sh.race.read(o, 8, self.gid, self.at, false) {
                self.race(env, first, o, &c);
            }
            let n = part.count_ones();
            let (gid, at) = (self.gid, self.at);
            let mb = self.mbar_at(env, first, o as u32)?;
            mb.came(gid, at, n);
            if !noinc {
                mb.pending += n;
            } else if mb.pending < n {
                let text = format!("{n} arrivals at an mbarrier that awaits {} more in this phase", mb.pending);
                return env.stop(Kind::Trap, self, Some(first as u32), Some(addrs[first]), text);
            }
            let mut parts = Vec::new();
            for c in &mut copies {
                parts.extend(lanes(c.mask & part).map(|i| (c.dst[i], u32::from(c.bytes), c.data[i])));
                c.mask &= !part;
            }
            let what = What::Arrive { parts, mbar: o as u32, arrivals: n };
            let group = self.group[first];
            env.sh.flying.push_back(Flight { what, warp: self.gid, lane: first as u32, clock, group });
        }
        copies.retain(|c| c.mask != 0);
        self.copies = copies;
        if env.l.opt.copies_land_early {
            env.sh.land_those(env.l.mem, &env.l.atomics, |f| f.clock == clock && matches!(f.what, What::Arrive { .. }));
        }
        Ok(())
    }

    /// `st.async` and `red.async`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn store_async(
        &mut self,
        env: &mut Env<'_, '_>,
        bytes: u8,
        n: u8,
        s: &[Reg; 4],
        a: &Addr,
        mbar: &Addr,
        red: Option<(AtomOp, Ty)>,
        m: u32,
    ) -> Run<()> {
        let (to, bars) = (self.addresses(a), self.addresses(mbar));
        let size = u32::from(bytes) * u32::from(n);
        for i in lanes(m) {
            let clock = env.sh.race.bulk_issue(self.gid);
            let o = self.cluster_at(env, i, to[i], size, Some(clock))?;
            let bar = self.cluster_at(env, i, bars[i], 8, Some(clock))?;
            if o - env.sh.local(o) != bar - env.sh.local(bar) {
                let text = "a store into one block with an mbarrier of another";
                return env.stop(Kind::Trap, self, Some(i as u32), Some(to[i]), text.into());
            }
            self.mbar_at(env, i, bar as u32)?;
            if let Some(c) = env.sh.race.read(bar, 8, self.gid, self.at, false) {
                self.race(env, i, bar, &c);
            }
            // Reductions of one another have no order and need none.
            if red.is_none()
                && let Some(c) = env.sh.race.bulk_write(o, size, self.gid, clock, self.at)
            {
                self.race(env, i, o, &c);
            }
            let mut v = [0u32; 4];
            for (k, r) in s.iter().enumerate().take(n as usize) {
                stuff(&mut v, k * bytes as usize, bytes as usize, self.get(*r, i));
            }
            if red.is_none() {
                env.sh.in_flight(o, size);
            }
            let what = What::Into { parts: vec![(o as u32, size, v)], red, mbar: bar as u32, bytes: size };
            self.launch(env, Flight { what, warp: self.gid, lane: i as u32, clock, group: 0 });
        }
        Ok(())
    }

    /// Sends something on its way.
    pub(super) fn launch(&self, env: &mut Env<'_, '_>, f: Flight) {
        env.sh.flying.push_back(f);
        if env.l.opt.copies_land_early {
            let newest = env.sh.flying.len() as u64 - 1;
            env.sh.land(env.l.mem, &env.l.atomics, Some(newest));
        }
    }
}
