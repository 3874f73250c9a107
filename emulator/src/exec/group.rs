//! The blocks that run together: a block alone or those of a cluster, and whose turn it is.

use super::undefined::Lack;
use super::*;

/// A block of a cluster.
pub(super) struct Cta {
    pub warps: Vec<Warp>,
    pub bars: [Bar; 16],
    pub at: [u32; 3],
    pub index: u64,
    pub rank: u32,
}

/// The blocks of a cluster, or a block alone, that run or have run; their memory is used again for the next.
pub(super) struct Group {
    pub ctas: Vec<Cta>,
    pub sh: Shared,
    pub budget: u64,
    pub random: u64,
    /// Whether some warp has used up a turn: those to come are shorter, as it may wait for another block.
    pub tired: bool,
    /// The count of changes at which every warp waited, some of them in loops.
    pub stuck: Option<u64>,
}

impl Cta {
    pub(super) fn new(l: &Launch<'_>, rank: u32, per: u32) -> Self {
        let threads = l.block[0] * l.block[1] * l.block[2];
        let n = threads.div_ceil(32);
        let k = l.k;
        let warps = (0..n)
            .map(|id| Warp {
                id,
                gid: rank * per + id,
                arrived: None,
                w: vec![[0; 32]; k.n_w as usize],
                d: vec![[0; 32]; k.n_d as usize],
                p: vec![0; k.n_p as usize],
                stack: Vec::new(),
                live: 0,
                local: vec![0; k.local_bytes as usize * 32],
                local_bytes: k.local_bytes,
                copies: Vec::new(),
                group: [0; 32],
                random: 0,
                bulk_groups: [0; 32],
                bulk_open: Vec::new(),
                state: State::Ready,
                hint: 0,
                at: 0,
                red: None,
                undefined: vec![Lack::ALL; k.doubtful.registers],
                local_undefined: vec![0xff; if k.doubtful.registers == 0 { 0 } else { k.local_bytes as usize * 32 }],
                at_wgmma: false,
                registers: None,
                met: false,
                asynchronous: vec![Pending::default(); if k.watch.is_empty() { 0 } else { k.n_w as usize }],
                late: std::collections::VecDeque::new(),
                held: super::held::Held::default(),
                wgmma_group: 1,
                wgmma_done: 0,
                wgmma_fences: 0,
                changed: false,
                since: 0,
                probe: None,
                spins: None,
                parted: (0, 0),
            })
            .collect();
        Self { warps, bars: Default::default(), at: [0; 3], index: 0, rank }
    }

    pub(super) fn ended(&self) -> bool {
        self.warps.iter().all(|w| w.state == State::Done)
    }

    /// Lets go the warps whose barrier is complete.
    pub(super) fn release(&mut self, sh: &mut Shared) {
        let Self { warps, bars, rank, .. } = self;
        for (b, bar) in bars.iter_mut().enumerate() {
            if bar.waiting == 0 && bar.threads == 0 {
                continue;
            }
            let complete = if bar.expect == 0 {
                warps.iter().all(|w| w.state == State::Done || bar.arrived_warps >> w.id & 1 != 0)
            } else {
                bar.threads >= bar.expect
            };
            if !complete {
                continue;
            }
            let place = 16 * *rank as usize + b;
            sh.race.barrier_done(place);
            for w in warps.iter_mut() {
                if w.state == State::Barrier(b as u32) {
                    w.state = State::Ready;
                    sh.race.barrier_pass(place, w.gid);
                    w.finish_barrier(bar);
                }
            }
            *bar = Bar::default();
        }
    }
}

impl Group {
    pub(super) fn new(l: &Launch<'_>) -> Self {
        let blocks = l.cluster.iter().product::<u32>();
        let n = (l.block[0] * l.block[1] * l.block[2]).div_ceil(32);
        let per = slots(blocks as usize, n as usize) as u32;
        Self {
            ctas: (0..blocks).map(|rank| Cta::new(l, rank, per)).collect(),
            sh: Shared::new(l.k.static_shared + l.dyn_shared, per, blocks, l.opt.check_init, l.opt.check_race),
            budget: 0,
            random: 0,
            tired: false,
            stuck: None,
        }
    }

    pub(super) fn begin(&mut self, l: &Launch<'_>, index: u64) {
        let g = l.grid;
        self.random = l.opt.shuffle.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index + 1);
        self.tired = false;
        self.sh.reset();
        self.sh.race.begin(index as u32, l.order.flags());
        let threads = l.block[0] * l.block[1] * l.block[2];
        for cta in &mut self.ctas {
            cta.at = block_at(l, index, cta.rank);
            let at = cta.at.map(u64::from);
            cta.index = at[0] + u64::from(g[0]) * (at[1] + u64::from(g[1]) * at[2]);
            cta.bars = Default::default();
            self.sh.cluster.blocks[cta.rank as usize] = cta.index as u32;
            for w in &mut cta.warps {
                w.reset(l, cta.at, cta.index, cta.rank, threads);
            }
        }
    }

    /// Runs until the blocks have ended, or a warp has used its turn without coming to a barrier. Says whether they have ended.
    pub(super) fn run(&mut self, l: &Launch<'_>, st: &mut Stats) -> bool {
        let threads = l.block[0] * l.block[1] * l.block[2];
        let Self { ctas, sh, budget, random, tired: before, stuck } = self;
        *stuck = None;
        loop {
            let (mut progress, mut tired) = (false, false);
            let per = ctas[0].warps.len();
            let n = per * ctas.len();
            let (start, back) = if l.opt.shuffle == 0 {
                (0, false)
            } else {
                let r = draw(random) as usize;
                (r / 2 % n, r % 2 == 1)
            };
            for k in 0..n {
                let i = (start + if back { n - k } else { k }) % n;
                let Cta { warps, bars, at, index, rank } = &mut ctas[i / per];
                let warp = &mut warps[i % per];
                match warp.state {
                    State::Mbar(o, phase) if sh.mbars.get(&o).is_none_or(|m| m.phase != phase) => {
                        warp.state = State::Ready;
                    }
                    State::Cluster(g) if sh.cluster.generation > g => warp.state = State::Ready,
                    State::Registers(n) if sh.registers[*rank as usize] >= n => warp.state = State::Ready,
                    State::Warpgroup(n) if sh.warpgroup_is_at(warp.gid, n) => warp.state = State::Ready,
                    _ => {}
                }
                if warp.state != State::Ready || warp.still_spins(l) {
                    continue;
                }
                progress = true;
                let mut env = Env {
                    l,
                    sh,
                    st,
                    bars,
                    cta: *at,
                    cta_id: *index as u32,
                    rank: *rank,
                    cta_threads: threads,
                    budget: *budget,
                };
                let turn = if l.opt.shuffle == 0 {
                    if *before { 4_000 } else { 200_000 }
                } else {
                    1 + draw(random) as u32 % 64
                };
                let r = warp.run(&mut env, turn);
                *budget = env.budget;
                if std::mem::take(&mut warp.changed) {
                    l.changes.fetch_add(1, Relaxed);
                }
                if r.is_err() || l.halt.load(Relaxed) {
                    return true;
                }
                // With random timing, flights land at any time and in any order.
                if l.opt.shuffle != 0 && !sh.flying.is_empty() && draw(random).is_multiple_of(4) {
                    let r = draw(random);
                    land(l, sh, Some(r));
                }
                tired |= warp.state == State::Ready && warp.spins.is_none();
                let done = warp.state == State::Done;
                ctas[i / per].release(sh);
                if done && ctas[i / per].ended() {
                    Self::end(l, sh, &ctas[i / per]);
                }
                sh.open(|gid| {
                    let n = slots(ctas.len(), per);
                    ctas[gid / n].warps.get(gid % n).is_none_or(|w| w.state == State::Done)
                });
            }
            if tired {
                *before = true;
                // Spinning warps wait for what a copy brings.
                if l.opt.shuffle == 0 || draw(random).is_multiple_of(8) {
                    let r = (l.opt.shuffle != 0).then(|| draw(random));
                    land(l, sh, r);
                }
                return false;
            }
            // Bulk copies land when nothing else can go on.
            let any = (l.opt.shuffle != 0).then(|| draw(random));
            if !progress && !land(l, sh, any) {
                let mut waiting = ctas.iter_mut().flat_map(|c| &mut c.warps);
                if waiting.any(|w| w.part(l)) {
                    continue;
                }
                if ctas.iter().any(|c| c.warps.iter().any(|w| w.spins.is_some() && w.state == State::Ready)) {
                    *stuck = Some(l.changes.load(Relaxed));
                    return false;
                }
                break;
            }
        }
        if !ctas.iter().all(Cta::ended) {
            Self::deadlock(l, ctas, sh);
        }
        true
    }

    /// A block ends: what others do with its shared memory has to be over, and known to be.
    pub(super) fn end(l: &Launch<'_>, sh: &mut Shared, cta: &Cta) {
        sh.cluster.ended[cta.rank as usize] = true;
        for c in sh.race.unfinished(cta.rank) {
            let text = format!(
                "the block of rank {} ends without an order after the use of its shared memory by {} at {}",
                cta.rank,
                c.who(),
                l.place(c.pc)
            );
            let pc = cta.warps.first().map_or(0, |w| w.at);
            l.found(Kind::Race, pc, cta.at, 0, None, None, text);
        }
    }

    /// All that run wait for what none of them can do.
    pub(super) fn deadlock_of(l: &Launch<'_>, running: &std::collections::VecDeque<Self>) {
        if let Some(g) = running.front() {
            let more = (running.len() - 1) * g.ctas.len();
            let text = match more {
                0 => "no warp can go on:".to_owned(),
                1 => "no warp can go on, here and in another block:".to_owned(),
                n => format!("no warp can go on, here and in {n} other blocks:"),
            };
            Self::deadlock_text(l, &g.ctas, &g.sh, text);
        }
    }
    pub(super) fn deadlock(l: &Launch<'_>, ctas: &[Cta], sh: &Shared) {
        Self::deadlock_text(l, ctas, sh, "no warp can go on:".to_owned());
    }
    fn deadlock_text(l: &Launch<'_>, ctas: &[Cta], sh: &Shared, mut text: String) {
        let spins = |w: &Warp| w.spins.filter(|_| w.state == State::Ready).map(|(_, pc)| pc);
        let (mut first, mut spinning) = (None, None);
        // Who waits for registers keeps all others waiting.
        let starved = ctas
            .iter()
            .flat_map(|c| c.warps.iter().map(|w| (c.at, w)))
            .find(|(_, w)| matches!(w.state, State::Registers(_)));
        for cta in ctas {
            if ctas.len() > 1 {
                text += &format!(" block of rank {}:", cta.rank);
            }
            for w in &cta.warps {
                let waits = !matches!(w.state, State::Done | State::Ready);
                if let Some(pc) = spins(w) {
                    spinning = spinning.or(Some((cta.at, w.id, pc)));
                    let at = l.place(pc);
                    text += &format!(" warp {} asks again and again, at {at}, what nobody left can change;", w.id);
                    continue;
                }
                first = first.or(waits.then_some((cta.at, w.id, w.at)));
                let at = l.place(w.at);
                match w.state {
                    State::Barrier(b) => {
                        let bar = &cta.bars[b as usize];
                        let need =
                            if bar.expect == 0 { "all threads".to_owned() } else { format!("{} threads", bar.expect) };
                        text += &format!(
                            " warp {} waits at barrier {b} ({} arrived, {need} needed) at {at};",
                            w.id, bar.threads
                        );
                    }
                    State::Done => text += &format!(" warp {} has ended;", w.id),
                    State::Mbar(o, phase) => {
                        let m = sh.mbars.get(&o).cloned().unwrap_or_default();
                        let per = sh.warps_of_a_block();
                        let came: Vec<String> = m
                            .arrivals
                            .iter()
                            .map(|(gid, pc, n)| {
                                let of = if ctas.len() > 1 { format!(" of rank {}", gid / per) } else { String::new() };
                                format!("{n} by warp {}{of} at {}", gid % per, l.place(*pc))
                            })
                            .collect();
                        let came = if came.is_empty() { "none yet".to_owned() } else { came.join(", ") };
                        text += &format!(
                            " warp {} waits for phase {phase} of the mbarrier at offset {} ({} arrivals and {} bytes missing; \
                             arrived: {came}) at {at};",
                            w.id,
                            sh.local(o as usize),
                            m.pending,
                            m.tx
                        );
                    }
                    State::Warpgroup(_) => {
                        text += &format!(
                            " warp {} waits at a warpgroup's instruction for the other warps of its warpgroup at {at};",
                            w.id
                        );
                    }
                    State::Registers(n) => {
                        text += &format!(
                            " warp {} waits for {n} more registers a thread, of which the block's pool has {} for one warp, at {at};",
                            w.id, sh.registers[cta.rank as usize]
                        );
                    }
                    State::Cluster(_) => text += &format!(" warp {} waits at the cluster's barrier at {at};", w.id),
                    State::Ready => {}
                }
            }
        }
        let (cta, id, pc) = starved.map(|(at, w)| (at, w.id, w.at)).or(spinning).or(first).unwrap_or_default();
        l.found(Kind::Deadlock, pc, cta, id, None, None, text);
        l.halt.store(true, Relaxed);
    }
}

/// Where the block of a rank in the cluster of a number stands in the grid.
pub(super) fn block_at(l: &Launch<'_>, index: u64, rank: u32) -> [u32; 3] {
    let (g, c) = (l.grid, l.cluster);
    let n = [0, 1].map(|d| u64::from(g[d] / c[d]));
    let place = [index % n[0], index / n[0] % n[1], index / n[0] / n[1]].map(|x| x as u32);
    let inside = [rank % c[0], rank / c[0] % c[1], rank / c[0] / c[1]];
    std::array::from_fn(|d| place[d] * c[d] + inside[d])
}

fn land(l: &Launch<'_>, sh: &mut Shared, random: Option<u64>) -> bool {
    let any = sh.land(l.mem, &l.atomics, random);
    if any {
        l.changes.fetch_add(1, Relaxed);
    }
    any
}

/// Numbers in the cluster that a block's warps take: warpgroups are four warps of one block.
pub(super) fn slots(blocks: usize, warps: usize) -> usize {
    if blocks > 1 { warps.next_multiple_of(4) } else { warps }
}
