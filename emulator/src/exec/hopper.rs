//! What came with sm_90: mbarriers (sm_80 has them too), bulk and tensor copies, products of warpgroups.
//!
//! Bulk copies into shared memory land when nothing else can run, so that whoever does not wait reads nothing; copies out of it,
//! and products of warpgroups, read when they are issued, and the race check covers what they may read until they are waited for.

use super::*;
use crate::shared::{Flight, Mbar};
use crate::tensormap::{TensorMap, swizzle};

/// Where blocks that meet at an mbarrier learn of each other.
fn remote_key(env: &Env<'_, '_>, off: u32) -> u64 {
    1 << 62 | env.sh.cluster.index << 28 | u64::from(off)
}

const MAX_TX: i64 = (1 << 20) - 1;

impl Warp {
    fn mbar_at<'s>(&self, env: &'s mut Env<'_, '_>, lane: usize, off: u32) -> Run<&'s mut Mbar> {
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

    /// The tensor map at an address that a lane gives.
    fn tensor_map(&mut self, env: &Env<'_, '_>, lane: usize, addr: u64) -> Run<TensorMap> {
        let mut one = [addr; 32];
        let space = Self::resolve(Space::Generic, &mut one, 1 << lane).unwrap_or(Space::Global);
        let a = one[lane];
        let mut b = [0u8; 128];
        let found = if a % 64 != 0 {
            return self.misaligned(env, lane, a, 64, "tensor map in");
        } else if space == Space::Param {
            match env.l.params.get(a as usize..(a as usize).saturating_add(128)) {
                Some(p) => {
                    b.copy_from_slice(p);
                    true
                }
                None => false,
            }
        } else {
            env.l.mem.read(a, &mut b).is_ok()
        };
        match TensorMap::decode(&b) {
            Some(t) if found && t.box_bytes() <= 1 << 20 => Ok(t),
            _ => env.stop(
                Kind::Trap,
                self,
                Some(lane as u32),
                Some(addr),
                "no tensor map at this address, or one whose box does not fit into shared memory".into(),
            ),
        }
    }

    /// Rows of a box: for each the offset in the box, the address of its first byte in global memory, and which bytes of it exist.
    fn rows(t: &TensorMap, coords: &[i32]) -> Vec<(u32, u64, std::ops::Range<u32>)> {
        let row = t.boxes[0] * t.elem;
        let outer: u32 = t.boxes[1..].iter().product();
        let lo = (-i64::from(coords[0])).clamp(0, i64::from(t.boxes[0])) as u32;
        let hi = (t.dims[0] as i64 - i64::from(coords[0])).clamp(0, i64::from(t.boxes[0])) as u32;
        (0..outer)
            .map(|r| {
                let mut left = r;
                let mut addr = t.addr.wrapping_add((i64::from(coords[0]) * i64::from(t.elem)) as u64);
                let mut inside = true;
                for (d, coord) in coords.iter().enumerate().skip(1) {
                    let c = i64::from(*coord) + i64::from(left % t.boxes[d]);
                    left /= t.boxes[d];
                    inside &= c >= 0 && (c as u64) < t.dims[d];
                    addr = addr.wrapping_add((c as u64).wrapping_mul(t.strides[d - 1]));
                }
                (r * row, addr, if inside && lo < hi { lo * t.elem..hi * t.elem } else { 0..0 })
            })
            .collect()
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn bulk_load(
        &mut self,
        env: &mut Env<'_, '_>,
        dst: &Addr,
        src: &Addr,
        coords: &[u32],
        bytes: u32,
        mbar: &Addr,
        mask: u32,
        m: u32,
    ) -> Run<()> {
        let (to, from, bars) = (self.addresses(dst), self.addresses(src), self.addresses(mbar));
        for i in lanes(m) {
            let clock = env.sh.race.bulk_issue(self.gid);
            // The same places in every block that gets the data, or the one that the address names.
            let in_block = |a: u64, rank: u32| (a & 0xff_ffff) | u64::from(rank + 1) << 24;
            let named = |a: u64| if a >> 24 & 0xff == 0 { env.rank } else { (a >> 24 & 0xff) as u32 - 1 };
            let ranks: Vec<u32> = if mask == NONE {
                if named(to[i]) != named(bars[i]) {
                    let text = "a bulk copy into one block with an mbarrier of another";
                    return env.stop(Kind::Trap, self, Some(i as u32), Some(to[i]), text.into());
                }
                vec![named(to[i])]
            } else {
                let bits = self.w[mask as usize][i] & 0xffff;
                if bits == 0 || bits >> env.sh.blocks() != 0 {
                    let text = format!("a multicast to ranks {bits:#x} in a cluster of {} blocks", env.sh.blocks());
                    return env.stop(Kind::Trap, self, Some(i as u32), Some(to[i]), text);
                }
                (0..16).filter(|r| bits >> r & 1 != 0).collect()
            };
            for rank in &ranks {
                let bar = self.cluster_at(env, i, in_block(bars[i], *rank), 8, Some(clock))?;
                self.mbar_at(env, i, bar as u32)?;
                if let Some(c) = env.sh.race.read(bar, 8, self.gid, self.at, false) {
                    self.race(env, i, bar, &c);
                }
            }
            let tensor = !coords.is_empty();
            let (rows, t) = if tensor {
                let t = self.tensor_map(env, i, from[i])?;
                if t.dims.len() != coords.len() {
                    return env.stop(
                        Kind::Trap,
                        self,
                        Some(i as u32),
                        None,
                        format!("{} coordinates for a tensor of {} dimensions", coords.len(), t.dims.len()),
                    );
                }
                let c: Vec<i32> = coords.iter().map(|r| self.w[*r as usize][i] as i32).collect();
                (Self::rows(&t, &c), t)
            } else {
                let n = self.w[bytes as usize][i].min(1 << 24);
                let t = TensorMap {
                    elem: 1,
                    swizzle: 0,
                    nan_fill: false,
                    addr: 0,
                    dims: vec![u64::from(n)],
                    strides: Vec::new(),
                    boxes: vec![n],
                };
                (vec![(0, from[i], 0..n)], t)
            };
            let total = t.box_bytes() as u32;
            let align = if tensor { 128 } else { 16 };
            if to[i] % align != 0 {
                return self.misaligned(env, i, to[i], align as u32, "shared");
            }
            if total == 0 || !total.is_multiple_of(16) {
                return env.stop(
                    Kind::Misaligned,
                    self,
                    Some(i as u32),
                    Some(from[i]),
                    format!("a bulk copy of {total} bytes: a multiple of 16 is needed"),
                );
            }
            for rank in &ranks {
                let start = self.cluster_at(env, i, in_block(to[i], *rank), 16, Some(clock))?;
                if env.sh.local(start) as u64 + u64::from(total) > env.sh.size() as u64 {
                    return self.out_of_bounds(env, i, to[i], total, "shared");
                }
            }
            let mut pieces = Vec::new();
            let row_bytes = t.boxes[0] * t.elem;
            for (at, addr, have) in rows {
                if addr % 16 != 0 {
                    return self.misaligned(env, i, addr, 16, "global");
                }
                let mut buf = vec![0u8; row_bytes as usize];
                if t.nan_fill {
                    buf.fill(0xff);
                }
                if !have.is_empty() {
                    let (a, n) = (addr.wrapping_add(u64::from(have.start)), have.end - have.start);
                    let al = match env.l.mem.find(a, &mut self.hint) {
                        Some(al) if a - al.base + u64::from(n) <= al.size => al,
                        _ => return self.out_of_bounds(env, i, a, n, "global"),
                    };
                    let off = a - al.base;
                    if env.l.opt.check_init && (0..u64::from(n)).any(|k| !al.is_valid(off + k, 1)) {
                        env.find(
                            Kind::Uninitialised,
                            self,
                            Some(i as u32),
                            Some(a),
                            format!(
                                "bulk copy of global memory that nothing has written, {off} bytes into {}",
                                al.name
                            ),
                        );
                    }
                    if env.l.opt.check_race && !al.read_only {
                        env.l.order.access(
                            env.l,
                            self.hint,
                            al,
                            off,
                            n,
                            false,
                            MemFlags::default(),
                            env.cta_id,
                            self.at,
                            self.id,
                            i as u32,
                            env.cta,
                        );
                    }
                    al.read_bytes(off, &mut buf[have.start as usize..have.end as usize]);
                }
                for (k, piece) in buf.chunks(16).enumerate() {
                    let mut b = [0u8; 16];
                    b[..piece.len()].copy_from_slice(piece);
                    pieces.push((swizzle(to[i] as u32 + at + 16 * k as u32, t.swizzle), words(&b)));
                }
            }
            env.st.c.bulk_loads += 1;
            env.st.c.bulk_load_bytes += u64::from(total);
            for rank in ranks {
                let mut parts = Vec::with_capacity(pieces.len());
                for (a, data) in &pieces {
                    let o = self.cluster_at(env, i, in_block(u64::from(*a), rank), 16, Some(clock))?;
                    if let Some(c) = env.sh.race.bulk_write(o, 16, self.gid, clock, self.at) {
                        self.race(env, i, o, &c);
                    }
                    env.sh.in_flight(o, 16);
                    parts.push((o as u32, 16, *data));
                }
                let mbar = self.cluster_at(env, i, in_block(bars[i], rank), 8, Some(clock))? as u32;
                env.sh.flying.push_back(Flight { parts, mbar, bytes: total, warp: self.gid, clock });
                if env.l.opt.copies_land_early {
                    env.sh.land();
                }
            }
        }
        Ok(())
    }

    fn async_read(&mut self, env: &mut Env<'_, '_>, lane: usize, o: usize, wgmma: bool) -> [u32; 4] {
        if env.l.opt.check_init
            && let Some(coming) = env.sh.unready(o, 16)
        {
            let why = if coming { "that a copy still has to write" } else { "that nothing has written" };
            env.find(
                Kind::Uninitialised,
                self,
                Some(lane as u32),
                Some(env.sh.local(o) as u64 + u64::from(SHARED_BASE)),
                format!("read of shared memory at offset {} {why}", env.sh.local(o)),
            );
        }
        if let Some(c) = env.sh.race.async_read(o, 16, self.gid, self.at, wgmma) {
            self.race(env, lane, o, &c);
        }
        env.sh.read(o, 16)
    }

    pub(super) fn bulk_store(
        &mut self,
        env: &mut Env<'_, '_>,
        dst: &Addr,
        src: &Addr,
        coords: &[u32],
        bytes: u32,
        m: u32,
    ) -> Run<()> {
        let (to, from) = (self.addresses(dst), self.addresses(src));
        for i in lanes(m) {
            let tensor = !coords.is_empty();
            let (rows, t) = if tensor {
                let t = self.tensor_map(env, i, to[i])?;
                if t.dims.len() != coords.len() {
                    return env.stop(
                        Kind::Trap,
                        self,
                        Some(i as u32),
                        None,
                        format!("{} coordinates for a tensor of {} dimensions", coords.len(), t.dims.len()),
                    );
                }
                let c: Vec<i32> = coords.iter().map(|r| self.w[*r as usize][i] as i32).collect();
                if c.iter().any(|x| *x < 0) {
                    return env.stop(
                        Kind::OutOfBounds,
                        self,
                        Some(i as u32),
                        None,
                        format!("a tensor store at {c:?}: coordinates cannot be negative"),
                    );
                }
                (Self::rows(&t, &c), t)
            } else {
                let n = self.w[bytes as usize][i].min(1 << 24);
                let t = TensorMap {
                    elem: 1,
                    swizzle: 0,
                    nan_fill: false,
                    addr: 0,
                    dims: vec![u64::from(n)],
                    strides: Vec::new(),
                    boxes: vec![n],
                };
                (vec![(0, to[i], 0..n)], t)
            };
            let total = t.box_bytes() as u32;
            let align = if tensor { 128 } else { 16 };
            if from[i] % align != 0 {
                return self.misaligned(env, i, from[i], align as u32, "shared");
            }
            if total == 0 || !total.is_multiple_of(16) {
                return env.stop(
                    Kind::Misaligned,
                    self,
                    Some(i as u32),
                    Some(to[i]),
                    format!("a bulk copy of {total} bytes: a multiple of 16 is needed"),
                );
            }
            let start = self.shared_at(env, i, from[i], 16)?;
            if env.sh.local(start) as u64 + u64::from(total) > env.sh.size() as u64 {
                return self.out_of_bounds(env, i, from[i], total, "shared");
            }
            let row_bytes = t.boxes[0] * t.elem;
            for (at, addr, have) in rows {
                if addr % 16 != 0 {
                    return self.misaligned(env, i, addr, 16, "global");
                }
                if have.end % 16 != 0 {
                    return env.stop(
                        Kind::Misaligned,
                        self,
                        Some(i as u32),
                        Some(addr),
                        format!(
                            "a tensor store whose row ends after {} bytes: hardware cuts rows at 16 bytes",
                            have.end
                        ),
                    );
                }
                for k in 0..row_bytes / 16 {
                    let a = swizzle(from[i] as u32 + at + 16 * k, t.swizzle);
                    let o = self.shared_at(env, i, u64::from(a), 16)? as u32;
                    let v = self.async_read(env, i, o as usize, false);
                    if !have.contains(&(16 * k)) {
                        continue;
                    }
                    let a = addr + u64::from(16 * k);
                    let (al, off) = self.global(env, i, a, 16)?;
                    if al.read_only {
                        return env.stop(
                            Kind::ReadOnly,
                            self,
                            Some(i as u32),
                            Some(a),
                            format!("store to {}", al.name),
                        );
                    }
                    if env.l.opt.check_race {
                        env.l.order.access(
                            env.l,
                            self.hint,
                            al,
                            off,
                            16,
                            true,
                            MemFlags::default(),
                            env.cta_id,
                            self.at,
                            self.id,
                            i as u32,
                            env.cta,
                        );
                    }
                    if env.l.cover.active()
                        && let Some(what) = env.l.cover.store(a, 16, env.cta_id)
                    {
                        env.find(Kind::Coverage, self, Some(i as u32), Some(a), what);
                    }
                    al.write(off, 16, &v);
                }
            }
            env.st.c.bulk_stores += 1;
            env.st.c.bulk_store_bytes += u64::from(total);
        }
        Ok(())
    }

    /// Sixteen bytes of an operand in shared memory, by its descriptor: along the depth, its first or (`k` is 8) second half, or,
    /// transposed, along the rows (or columns) from `mn` at depth `k`.
    fn piece(&mut self, env: &mut Env<'_, '_>, desc: u64, trans: bool, mn: u32, k: u32) -> Run<[u32; 4]> {
        let field = |bit: u32| ((desc >> bit) & 0x3fff) as u32 * 16;
        let (start, lbo, sbo) = (field(0), field(16), field(32));
        let span = match desc >> 62 {
            1 => 128,
            2 => 64,
            3 => 32,
            _ => 0,
        };
        if desc >> 49 & 7 != 0 {
            return env.stop(Kind::Trap, self, None, None, "a matrix descriptor with a base offset".into());
        }
        let addr = match (trans, span) {
            (false, 0) => start + mn / 8 * sbo + k / 8 * lbo + mn % 8 * 16,
            (false, s) => start + mn / 8 * sbo + mn % 8 * s + k * 2,
            (true, 0) => start + mn / 8 * sbo + k / 8 * lbo + k % 8 * 16,
            (true, s) => start + mn / (s / 2) * lbo + k / 8 * sbo + k % 8 * s + mn % (s / 2) * 2,
        };
        let o = self.shared_at(env, 0, u64::from(swizzle(addr, span)), 16)?;
        Ok(self.async_read(env, 0, o, true))
    }

    /// Follows what an instruction other than wgmma does to the registers of wgmma.
    pub(super) fn watch(&mut self, env: &Env<'_, '_>, w: &Watch) {
        match w {
            Watch::Nothing => {}
            Watch::Move { d, s } => self.asynchronous[*d as usize] = self.asynchronous[*s as usize],
            Watch::Touch(regs) => {
                for r in regs.iter() {
                    let p = self.asynchronous[*r as usize];
                    if p.group > self.wgmma_done {
                        self.in_flight(env, &p);
                    }
                    self.asynchronous[*r as usize] =
                        Pending { group: 0, fences: self.wgmma_fences + 1, role: 0, pc: self.at };
                }
            }
        }
    }
    fn in_flight(&self, env: &Env<'_, '_>, p: &Pending) {
        if env.l.opt.check_race {
            let (what, other) = (if p.role == AS_A { "A" } else { "accumulator" }, env.l.source(p.pc));
            env.find(
                Kind::Race,
                self,
                None,
                None,
                format!("access to a register of the {what} of the wgmma at {other}, with no wgmma.wait_group for it"),
            );
        }
    }
    /// What the ISA asks of a wgmma's registers: that a fence stands before the first, and between any other access and this one.
    fn wgmma_registers(&mut self, env: &Env<'_, '_>, g: &Wgmma) {
        let first = self.wgmma_fences == 0;
        let shape = g.shape_key();
        let mut unfenced = None;
        let a = g.a.err();
        let regs = g.d.iter().map(|r| (*r, shape)).chain(a.iter().flatten().map(|r| (*r, AS_A)));
        for (r, role) in regs {
            let p = self.asynchronous[r as usize];
            if role == AS_A && p.group > self.wgmma_done && p.role != AS_A {
                self.in_flight(env, &p);
            }
            if p.fences == self.wgmma_fences + 1 && p.role != role {
                unfenced.get_or_insert(p.pc);
            }
            let (group, fences) = (self.wgmma_group, self.wgmma_fences + 1);
            self.asynchronous[r as usize] = Pending { group, fences, role, pc: self.at };
        }
        if !env.l.opt.check_race {
            return;
        }
        if first {
            env.find(Kind::Race, self, None, None, "the first wgmma of a warp, and no wgmma.fence before it".into());
        } else if let Some(pc) = unfenced {
            let other = env.l.source(pc);
            let text = format!("a wgmma uses registers that were accessed at {other}, with no wgmma.fence in between");
            env.find(Kind::Race, self, None, None, text);
        }
    }

    pub(super) fn wgmma(&mut self, env: &mut Env<'_, '_>, g: &Wgmma) -> Run<()> {
        self.full_warp(env, "wgmma")?;
        if (env.cta_threads / 32) <= self.id / 4 * 4 + 3 {
            return env.stop(Kind::Divergence, self, None, None, "wgmma in a warpgroup of less than four warps".into());
        }
        let same = |r: u32, w: &Self| w.d[r as usize].iter().all(|x| *x == w.d[r as usize][0]);
        if !same(g.b, self) || g.a.is_ok_and(|a| !same(a, self)) {
            return env.stop(
                Kind::Divergence,
                self,
                None,
                None,
                "a matrix descriptor that is not the same in every lane".into(),
            );
        }
        self.wgmma_registers(env, g);
        let (f, n) = (&g.f, g.n as usize);
        let k = f.k();
        let per = f.a.per();
        let mut a: mma::Rows = [[0.0; 32]; 16];
        match g.a {
            Err(regs) => mma::rows(f.a, &regs.map(|r| self.w[r as usize]), &mut a),
            Ok(desc) => {
                let desc = self.d[desc as usize][0];
                let first = 16 * (self.id & 3);
                for x in 0..if g.trans_a { 2 } else { 16usize } {
                    for y in 0..if g.trans_a { k } else { 2 } {
                        let (mn, at) = if g.trans_a { (8 * x, y) } else { (x, 8 * y) };
                        let p = self.piece(env, desc, g.trans_a, first + mn as u32, at as u32)?;
                        for i in 0..4 * per {
                            let v = f.a.value(p[i / per], i % per);
                            if g.trans_a { a[mn + i][y] = v } else { a[x][4 * per * y + i] = v }
                        }
                    }
                }
            }
        }
        if g.neg_a {
            a.iter_mut().flatten().for_each(|x| *x = -*x);
        }
        let mut b = vec![0f32; k * n];
        let desc = self.d[g.b as usize][0];
        for x in 0..if g.trans_b { n / 8 } else { n } {
            for y in 0..if g.trans_b { k } else { 2 } {
                let (mn, at) = if g.trans_b { (8 * x, y) } else { (x, 8 * y) };
                let p = self.piece(env, desc, g.trans_b, mn as u32, at as u32)?;
                for i in 0..4 * per {
                    let v = f.b.value(p[i / per], i % per);
                    if g.trans_b { b[y * n + mn + i] = v } else { b[(4 * per * y + i) * n + x] = v }
                }
            }
        }
        if g.neg_b {
            b.iter_mut().for_each(|x| *x = -*x);
        }
        let keep = self.p[g.scale_d.0 as usize] ^ if g.scale_d.1 { u32::MAX } else { 0 };
        let half = f.d == mma::Acc::F16;
        let at = |i: usize, l: usize| (l / 4 + 8 * (i >> 1 & 1)) * n + 8 * (i >> 2) + 2 * (l % 4) + (i & 1);
        let mut c = vec![0u32; 16 * n];
        for i in 0..n / 2 {
            let r = &self.w[g.d[if half { i / 2 } else { i }] as usize];
            for l in lanes(keep) {
                c[at(i, l)] = if half { r[l] >> (16 * (i & 1)) & 0xffff } else { r[l] };
            }
        }
        mma::multiply::<4096>(f, env.l.rules(true), k, n, &a, &b, &mut c);
        for (i, d) in g.d.iter().enumerate() {
            self.w[*d as usize] =
                std::array::from_fn(|l| if half { c[at(2 * i, l)] | c[at(2 * i + 1, l)] << 16 } else { c[at(i, l)] });
        }
        env.st.c.mma_instructions += 1;
        env.st.c.issued_macs += 16 * k as u64 * u64::from(g.n);
        Ok(())
    }
}
