//! Bulk and tensor copies.
//!
//! Copies into shared memory land when nothing else can run, so that whoever does not wait reads nothing; copies out of it read when
//! they are issued, and the race check covers what they may read until they are waited for.

use super::*;
use crate::shared::{Flight, What};
use crate::tensormap::{TensorMap, swizzle};

/// The 32-byte sectors that hold some bytes of a row of a box.
fn sectors(row: u64, have: &std::ops::Range<u32>) -> u64 {
    let at = |byte: u32| row.wrapping_add(u64::from(byte)) / 32;
    if have.is_empty() { 0 } else { at(have.end - 1) - at(have.start) + 1 }
}

impl Warp {
    /// The tensor map at an address that a lane gives.
    pub(super) fn tensor_map(&mut self, env: &Env<'_, '_>, lane: usize, addr: u64) -> Run<(TensorMap, Option<Ty>)> {
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
            Some(t) if found && t.box_bytes() <= 1 << 20 => Ok((t, TensorMap::element_type(&b))),
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
    pub(super) fn rows(t: &TensorMap, coords: &[i32]) -> Vec<(u32, u64, std::ops::Range<u32>)> {
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
    pub(super) fn bulk_load(&mut self, env: &mut Env<'_, '_>, x: &BulkLoad, m: u32) -> Run<()> {
        let (to, from, bars) = (self.addresses(&x.dst), self.addresses(&x.src), self.addresses(&x.mbar));
        let (coords, bytes, mask) = (&x.coords, x.bytes, x.mask);
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
                let (t, _) = self.tensor_map(env, i, from[i])?;
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
                let t = TensorMap::plain(n);
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
            if x.from_shared {
                self.across(env, x, i, to[i], from[i], bars[i], total, clock)?;
                continue;
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
                env.st.c.bulk_load_sectors += sectors(addr, &have);
                if !have.is_empty() {
                    let (a, n) = (addr.wrapping_add(u64::from(have.start)), have.end - have.start);
                    let al = match env.l.mem.find(a, &mut self.hint) {
                        Some(al) if a - al.base + u64::from(n) <= al.size => al,
                        _ => return self.out_of_bounds(env, i, a, n, "global"),
                    };
                    let off = a - al.base;
                    if env.l.opt.check_init && !al.all_valid(off, u64::from(n)) {
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
                        self.order(env, al, off, n, None, false, MemFlags::default(), i);
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
                    if tensor {
                        env.sh.swizzled(o, t.swizzle);
                    }
                    parts.push((o as u32, 16, *data));
                }
                let mbar = self.cluster_at(env, i, in_block(bars[i], rank), 8, Some(clock))? as u32;
                let what = What::Into { parts, red: None, mbar, bytes: total };
                self.launch(env, Flight { what, warp: self.gid, lane: i as u32, clock, group: 0 });
            }
        }
        Ok(())
    }

    /// A bulk copy, or a reduction, from the block's own shared memory to a block of the cluster.
    #[allow(clippy::too_many_arguments)]
    fn across(
        &mut self,
        env: &mut Env<'_, '_>,
        x: &BulkLoad,
        lane: usize,
        to: u64,
        from: u64,
        bar: u64,
        total: u32,
        clock: u32,
    ) -> Run<()> {
        if !from.is_multiple_of(16) {
            return self.misaligned(env, lane, from, 16, "shared");
        }
        let source = self.shared_at(env, lane, from, 16)?;
        if env.sh.local(source) as u64 + u64::from(total) > env.sh.size() as u64 {
            return self.out_of_bounds(env, lane, from, total, "shared");
        }
        let target = self.cluster_at(env, lane, to, 16, Some(clock))?;
        let mbar = self.cluster_at(env, lane, bar, 8, Some(clock))? as u32;
        let mut parts = Vec::new();
        for k in (0..total as usize).step_by(16) {
            self.async_check(env, self.gid, lane, source + k, false);
            if x.red.is_none() {
                if let Some(c) = env.sh.race.bulk_write(target + k, 16, self.gid, clock, self.at) {
                    self.race(env, lane, target + k, &c);
                }
                env.sh.in_flight(target + k, 16);
            }
            parts.push(((source + k) as u32, (target + k) as u32));
        }
        let read_clock = env.sh.race.store_issued(self.gid);
        env.st.c.bulk_loads += 1;
        env.st.c.bulk_load_bytes += u64::from(total);
        let what = What::Across { parts, red: x.red, mbar, bytes: total, read_clock };
        self.launch(env, Flight { what, warp: self.gid, lane: lane as u32, clock, group: 0 });
        Ok(())
    }

    pub(super) fn bulk_commit(&mut self, m: u32) {
        for i in lanes(m) {
            self.bulk_groups[i] += 1;
        }
    }

    /// Waits for all but the latest `n` bulk groups of each lane.
    pub(super) fn bulk_wait(&mut self, env: &mut Env<'_, '_>, n: u32, m: u32) {
        let groups = self.bulk_groups;
        let due = |lane: u32, group: u32| {
            m >> lane & 1 != 0 && group < groups[lane as usize] && groups[lane as usize] - group > n
        };
        let gid = self.gid;
        env.sh.land_those(env.l.mem, &env.l.atomics, |f| {
            f.warp == gid && matches!(f.what, What::OutOf { .. }) && due(f.lane, f.group)
        });
        // Copies read in the order of their clocks as far as this thread knows: up to the first that is not over.
        let over = self.bulk_open.iter().take_while(|x| due(x.0, x.1)).count();
        if over > 0 {
            let upto = self.bulk_open[over - 1].2;
            env.sh.race.stores_done(self.gid, upto);
            self.bulk_open.drain(..over);
        }
    }

    /// Checks that sixteen bytes of shared memory can be read by the asynchronous proxy on behalf of the warp of a number, of the block's.
    pub(super) fn async_check(&mut self, env: &mut Env<'_, '_>, gid: u32, lane: usize, o: usize, wgmma: bool) {
        let own = self.id;
        self.id = own + gid - self.gid;
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
        if let Some(c) = env.sh.race.async_read(o, 16, gid, self.at, wgmma) {
            self.race(env, lane, o, &c);
        }
        self.id = own;
    }

    pub(super) fn bulk_store(&mut self, env: &mut Env<'_, '_>, x: &BulkStore, m: u32) -> Run<()> {
        let (to, from) = (self.addresses(&x.dst), self.addresses(&x.src));
        let (coords, bytes) = (&x.coords, x.bytes);
        for i in lanes(m) {
            let tensor = !coords.is_empty();
            let mut element = None;
            let (rows, t) = if tensor {
                let (t, ty) = self.tensor_map(env, i, to[i])?;
                element = ty;
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
                let t = TensorMap::plain(n);
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
            let red = match (x.red, x.ty.or(element)) {
                (None, _) => None,
                (Some(op), Some(ty)) => Some((op, ty)),
                (Some(_), None) => {
                    let text = "a reduction with a tensor map whose elements have no such operation";
                    return env.stop(Kind::Trap, self, Some(i as u32), Some(to[i]), text.into());
                }
            };
            // What others did to a sum in the making is no race.
            let fl = MemFlags { strong: red.is_some(), ..MemFlags::default() };
            let mut parts = Vec::new();
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
                env.st.c.bulk_store_sectors += sectors(addr, &have);
                for k in 0..row_bytes / 16 {
                    let a = swizzle(from[i] as u32 + at + 16 * k, t.swizzle);
                    let o = self.shared_at(env, i, u64::from(a), 16)? as u32;
                    // What lies outside the tensor goes nowhere, whatever it is.
                    if !have.contains(&(16 * k)) {
                        continue;
                    }
                    self.async_check(env, self.gid, i, o as usize, false);
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
                        self.order(env, al, off, 16, None, true, fl, i);
                    }
                    if red.is_none()
                        && env.l.cover.active()
                        && let Some(what) = env.l.cover.store(a, 16, env.cta_id)
                    {
                        env.find(Kind::Coverage, self, Some(i as u32), Some(a), what);
                    }
                    if red.is_some() && env.l.opt.check_init && !al.is_valid(off, 16) {
                        let text = format!(
                            "reduction of global memory that nothing has written, {off} bytes into {}",
                            al.name
                        );
                        env.find(Kind::Uninitialised, self, Some(i as u32), Some(a), text);
                    }
                    parts.push((o, a, 16));
                }
            }
            let clock = env.sh.race.store_issued(self.gid);
            let group = self.bulk_groups[i];
            self.bulk_open.push((i as u32, group, clock));
            let what = What::OutOf { parts, red };
            self.launch(env, Flight { what, warp: self.gid, lane: i as u32, clock, group });
            env.st.c.bulk_stores += 1;
            env.st.c.bulk_store_bytes += u64::from(total);
        }
        Ok(())
    }
}
