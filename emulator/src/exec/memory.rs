//! Loads, stores, atomics and asynchronous copies of a warp, with what is checked at each.

use super::*;
use crate::order::Access;
use crate::shared::What;

impl Warp {
    pub(super) fn resolve(space: Space, addrs: &mut D, m: u32) -> Result<Space, (usize, u64)> {
        if space != Space::Generic {
            return Ok(space);
        }
        let first = m.trailing_zeros() as usize;
        let kind = |a: u64| match a {
            a if (SHARED_WINDOW..SHARED_WINDOW + WINDOW_SIZE).contains(&a) => Space::Cluster,
            a if (LOCAL_WINDOW..LOCAL_WINDOW + WINDOW_SIZE).contains(&a) => Space::Local,
            a if (PARAM_WINDOW..PARAM_WINDOW + WINDOW_SIZE).contains(&a) => Space::Param,
            _ => Space::Global,
        };
        let s = kind(addrs[first]);
        for i in lanes(m) {
            if kind(addrs[i]) != s {
                return Err((i, addrs[i]));
            }
            addrs[i] -= match s {
                Space::Cluster => SHARED_WINDOW,
                Space::Local => LOCAL_WINDOW,
                Space::Param => PARAM_WINDOW,
                _ => 0,
            };
        }
        Ok(s)
    }

    /// Splits a generic access whose lanes point into different spaces.
    pub(super) fn by_space(space: Space, addrs: &D, m: u32) -> Vec<(Space, D, u32)> {
        let mut out = Vec::with_capacity(1);
        let mut left = m;
        while left != 0 {
            let mut part = left;
            loop {
                let mut a = *addrs;
                match Self::resolve(space, &mut a, part) {
                    Ok(s) => {
                        out.push((s, a, part));
                        break;
                    }
                    Err((lane, _)) => part &= !(1 << lane),
                }
            }
            left &= !part;
        }
        out
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn load(
        &mut self,
        env: &mut Env<'_, '_>,
        space: Space,
        bytes: u8,
        n: u8,
        ext: Ext,
        fl: MemFlags,
        d: &[Reg; 4],
        a: &Addr,
        m: u32,
    ) -> Run<()> {
        let mut addrs = self.addresses(a);
        let mut data = [[0u32; 4]; 32];
        let size = u32::from(bytes) * u32::from(n);
        if space == Space::Generic {
            for (s, mut ad, part) in Self::by_space(space, &addrs, m) {
                self.fetch(env, s, &mut ad, size, fl, part, &mut data)?;
            }
        } else {
            self.fetch(env, space, &mut addrs, size, fl, m, &mut data)?;
        }
        let per = bytes as usize;
        for (k, r) in d.iter().enumerate().take(n as usize) {
            match r {
                Reg::W(r) => {
                    let t: V = std::array::from_fn(|i| {
                        let v = pick(&data[i], k * per, per) as u32;
                        match ext {
                            Ext::Sign8 => v as u8 as i8 as i32 as u32,
                            Ext::Sign16 => v as u16 as i16 as i32 as u32,
                            _ => v,
                        }
                    });
                    put(&mut self.w[*r as usize], &t, m);
                }
                Reg::D(r) => {
                    let t: D = std::array::from_fn(|i| {
                        let v = pick(&data[i], k * per, per);
                        match ext {
                            Ext::Sign8 => v as u8 as i8 as i64 as u64,
                            Ext::Sign16 => v as u16 as i16 as i64 as u64,
                            Ext::Sign32 => v as u32 as i32 as i64 as u64,
                            Ext::Zero => v,
                        }
                    });
                    put(&mut self.d[*r as usize], &t, m);
                }
                Reg::P(_) | Reg::Q(_) => {}
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn store(
        &mut self,
        env: &mut Env<'_, '_>,
        space: Space,
        bytes: u8,
        n: u8,
        fl: MemFlags,
        s: &[Reg; 4],
        a: &Addr,
        m: u32,
    ) -> Run<()> {
        let addrs = self.addresses(a);
        let mut data = [[0u32; 4]; 32];
        let per = bytes as usize;
        for (k, r) in s.iter().enumerate().take(n as usize) {
            for (i, x) in data.iter_mut().enumerate() {
                stuff(x, k * per, per, self.get(*r, i));
            }
        }
        let size = u32::from(bytes) * u32::from(n);
        if space == Space::Generic {
            for (s, ad, part) in Self::by_space(space, &addrs, m) {
                self.write(env, s, &ad, size, fl, part, &data)?;
            }
            Ok(())
        } else {
            self.write(env, space, &addrs, size, fl, m, &data)
        }
    }

    pub(super) fn misaligned<T>(&self, env: &Env<'_, '_>, lane: usize, addr: u64, size: u32, space: &str) -> Run<T> {
        let what = if space == "global" { format!(" ({})", env.l.mem.describe(addr)) } else { String::new() };
        env.stop(
            Kind::Misaligned,
            self,
            Some(lane as u32),
            Some(addr),
            format!(
                "{size}-byte access to {space} memory at an address that is {} modulo {size}{what}",
                addr % u64::from(size)
            ),
        )
    }
    pub(super) fn out_of_bounds<T>(&self, env: &Env<'_, '_>, lane: usize, addr: u64, size: u32, space: &str) -> Run<T> {
        let what = match space {
            "global" => {
                // The address may be inside while the access runs past the end.
                let d = env.l.mem.describe(addr);
                if env.l.mem.find(addr, &mut 0).is_some() { format!("runs past the end: {d}") } else { d }
            }
            "shared" => {
                format!("offset {} of {} bytes", addr.wrapping_sub(u64::from(SHARED_BASE)) as i64, env.sh.size())
            }
            "local" => format!("offset {} of {} bytes", addr as i64, self.local_bytes),
            _ => format!("offset {} of {} bytes", addr as i64, env.l.params.len()),
        };
        env.stop(
            Kind::OutOfBounds,
            self,
            Some(lane as u32),
            Some(addr),
            format!("{size}-byte access to {space} memory, {what}"),
        )
    }

    pub(super) fn global<'m>(&mut self, env: &Env<'m, '_>, lane: usize, addr: u64, size: u32) -> Run<(&'m Alloc, u64)> {
        if addr & u64::from(size - 1) != 0 {
            return self.misaligned(env, lane, addr, size, "global");
        }
        let mem: &'m Memory = env.l.mem;
        match mem.find(addr, &mut self.hint) {
            Some(al) if addr - al.base + u64::from(size) <= al.size => Ok((al, addr - al.base)),
            _ => self.out_of_bounds(env, lane, addr, size, "global"),
        }
    }
    /// Judges a load or a store of global memory, and hands on what a flag tells.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn order(
        &self,
        env: &mut Env<'_, '_>,
        alloc: &Alloc,
        offset: u64,
        size: u32,
        value: Option<&[u32; 4]>,
        write: bool,
        fl: MemFlags,
        lane: usize,
    ) {
        let a = self.access(env, alloc, offset, size, value, write, fl, lane);
        let (order, race) = (&env.l.order, &mut env.sh.race);
        order.access(env.l, race, &a);
        if write {
            order.tell(race, &a, false);
        } else {
            order.learn(race, &a, false);
            order.seen(race, &a);
        }
    }
    #[allow(clippy::too_many_arguments)]
    pub(super) fn access<'a>(
        &self,
        env: &Env<'_, '_>,
        alloc: &'a Alloc,
        offset: u64,
        size: u32,
        value: Option<&'a [u32; 4]>,
        write: bool,
        fl: MemFlags,
        lane: usize,
    ) -> Access<'a> {
        Access {
            allocation: self.hint,
            alloc,
            offset,
            size,
            write,
            fl,
            value,
            polls: write || env.l.k.polls[self.at as usize],
            pc: self.at,
            warp: self.id,
            gid: self.gid,
            lane: lane as u32,
            cta: env.cta,
        }
    }
    /// The place of an address in the block's own shared memory.
    pub(super) fn shared_at(&self, env: &Env<'_, '_>, lane: usize, addr: u64, size: u32) -> Run<usize> {
        let (rank, o) = self.place(env, lane, addr, size)?;
        if rank != env.rank {
            return env.stop(
                Kind::OutOfBounds,
                self,
                Some(lane as u32),
                Some(addr),
                format!(
                    "an address in the shared memory of the block of rank {rank}, where one of the own block is needed"
                ),
            );
        }
        Ok(o)
    }
    /// As [`Self::shared_at`], of any block of the cluster; `bulk` is the clock of the copy that goes there.
    pub(super) fn cluster_at(
        &self,
        env: &mut Env<'_, '_>,
        lane: usize,
        addr: u64,
        size: u32,
        bulk: Option<u32>,
    ) -> Run<usize> {
        let (rank, o) = self.place(env, lane, addr, size)?;
        if rank != env.rank {
            if env.sh.cluster.ended[rank as usize] {
                return env.stop(
                    Kind::OutOfBounds,
                    self,
                    Some(lane as u32),
                    Some(addr),
                    format!("use of the shared memory of the block of rank {rank}, which has ended"),
                );
            }
            env.sh.race.use_remote(rank, self.gid, bulk, self.at);
        }
        Ok(o)
    }
    #[inline]
    fn place(&self, env: &Env<'_, '_>, lane: usize, addr: u64, size: u32) -> Run<(u32, usize)> {
        let a = addr & 0xffff_ffff;
        if a & u64::from(size - 1) != 0 {
            return self.misaligned(env, lane, a, size, "shared");
        }
        let rank = match (a >> 24) as u32 {
            0 => env.rank,
            r => r - 1,
        };
        let o = (a & 0xff_ffff).wrapping_sub(u64::from(SHARED_BASE));
        if o >= env.sh.size() as u64 || o + u64::from(size) > env.sh.size() as u64 || rank >= env.sh.blocks() {
            return self.out_of_bounds(env, lane, a & 0xff_ffff, size, "shared");
        }
        Ok((rank, env.sh.start(rank) + o as usize))
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn fetch(
        &mut self,
        env: &mut Env<'_, '_>,
        space: Space,
        addrs: &mut D,
        size: u32,
        fl: MemFlags,
        m: u32,
        data: &mut [[u32; 4]; 32],
    ) -> Run<()> {
        match space {
            Space::Global | Space::Const | Space::Generic => {
                let mut last = usize::MAX;
                for i in lanes(m) {
                    // Lanes that read the same address are one access.
                    if last != usize::MAX && addrs[i] == addrs[last] {
                        data[i] = data[last];
                        continue;
                    }
                    last = i;
                    let (al, off) = self.global(env, i, addrs[i], size)?;
                    if env.l.opt.check_init && !al.is_valid(off, size) {
                        env.find(
                            Kind::Uninitialised,
                            self,
                            Some(i as u32),
                            Some(addrs[i]),
                            format!(
                                "read of {size} bytes of global memory that nothing has written, {off} bytes into {}",
                                al.name
                            ),
                        );
                    }
                    data[i] = al.read(off, size);
                    if env.l.opt.check_race && !al.read_only {
                        self.order(env, al, off, size, None, false, fl, i);
                    }
                }
                if space != Space::Const {
                    count_global(&mut env.st.c.global_load, addrs, size, m);
                }
            }
            Space::Shared | Space::Cluster => {
                let mut offs = [0u32; 32];
                for i in lanes(m) {
                    let o = if space == Space::Shared {
                        self.shared_at(env, i, addrs[i], size)?
                    } else {
                        self.cluster_at(env, i, addrs[i], size, None)?
                    };
                    offs[i] = o as u32;
                    data[i] = env.sh.read(o, size);
                    self.shared_read_checks(env, i, o, size, fl);
                }
                count_shared(&mut env.st.c.shared_load, &offs, size, m);
            }
            Space::Local => {
                for i in lanes(m) {
                    let o = self.local_at(env, i, addrs[i], size)?;
                    let mut b = [0u8; 16];
                    b[..size as usize].copy_from_slice(&self.local[o..o + size as usize]);
                    data[i] = words(&b);
                }
            }
            Space::Param => {
                for i in lanes(m) {
                    // An address made from a parameter's name carries the window.
                    let a = if addrs[i] >= PARAM_WINDOW { addrs[i] - PARAM_WINDOW } else { addrs[i] };
                    if a % u64::from(size) != 0 {
                        return self.misaligned(env, i, a, size, "parameter");
                    }
                    let n = env.l.params.len() as u64;
                    if a >= n || a + u64::from(size) > n {
                        return self.out_of_bounds(env, i, a, size, "parameter");
                    }
                    let mut b = [0u8; 16];
                    b[..size as usize].copy_from_slice(&env.l.params[a as usize..a as usize + size as usize]);
                    data[i] = words(&b);
                }
            }
        }
        Ok(())
    }

    pub(super) fn local_at(&self, env: &Env<'_, '_>, lane: usize, addr: u64, size: u32) -> Run<usize> {
        if !addr.is_multiple_of(u64::from(size)) {
            return self.misaligned(env, lane, addr, size, "local");
        }
        if addr >= u64::from(self.local_bytes) || addr + u64::from(size) > u64::from(self.local_bytes) {
            return self.out_of_bounds(env, lane, addr, size, "local");
        }
        Ok(lane * self.local_bytes as usize + addr as usize)
    }

    pub(super) fn shared_read_checks(&mut self, env: &mut Env<'_, '_>, lane: usize, o: usize, size: u32, fl: MemFlags) {
        if env.l.opt.check_init
            && let Some(bad) = env.sh.unready(o, size)
        {
            let why = if bad {
                "that an asynchronous copy still has to write: no wait for its group"
            } else {
                "that nothing has written"
            };
            let text = format!("read of {size} bytes of shared memory at offset {} {why}", env.sh.local(o));
            self.lacks(env, lane, env.sh.local(o) as u64 + u64::from(SHARED_BASE), text);
        }
        if env.l.opt.check_race
            && let Some(c) = env.sh.race.read(o, size, self.gid, self.at, fl.strong)
        {
            self.race(env, lane, o, &c);
        }
    }
    pub(super) fn race(&self, env: &Env<'_, '_>, lane: usize, o: usize, c: &crate::race::Conflict) {
        let other = env.l.place(c.pc);
        env.find(
            Kind::Race,
            self,
            Some(lane as u32),
            Some(env.sh.local(o) as u64 + u64::from(SHARED_BASE)),
            format!(
                "{} of shared memory at offset {}, {} the {} by {} at {}",
                if c.now_write { "write" } else { "read" },
                env.sh.local(o),
                if c.proxy {
                    "by the asynchronous proxy, with no fence.proxy.async after"
                } else {
                    "not ordered after"
                },
                if c.was_write { "write" } else { "read" },
                c.who(),
                if other.is_empty() { "an unknown line" } else { &other }
            ),
        );
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn write(
        &mut self,
        env: &mut Env<'_, '_>,
        space: Space,
        addrs: &D,
        size: u32,
        fl: MemFlags,
        m: u32,
        data: &[[u32; 4]; 32],
    ) -> Run<()> {
        match space {
            Space::Global | Space::Generic | Space::Const => {
                for i in lanes(m) {
                    let (al, off) = self.global(env, i, addrs[i], size)?;
                    if al.read_only {
                        let name = al.name.clone();
                        return env.stop(
                            Kind::ReadOnly,
                            self,
                            Some(i as u32),
                            Some(addrs[i]),
                            format!("store to {name}"),
                        );
                    }
                    if env.l.opt.check_race {
                        self.order(env, al, off, size, Some(&data[i]), true, fl, i);
                    }
                    if env.l.cover.active()
                        && let Some(what) = env.l.cover.store(addrs[i], size, env.cta_id)
                    {
                        env.find(Kind::Coverage, self, Some(i as u32), Some(addrs[i]), what);
                    }
                    al.write(off, size, &data[i]);
                }
                count_global(&mut env.st.c.global_store, addrs, size, m);
            }
            Space::Shared | Space::Cluster => {
                let mut offs = [0u32; 32];
                for i in lanes(m) {
                    let o = if space == Space::Shared {
                        self.shared_at(env, i, addrs[i], size)?
                    } else {
                        self.cluster_at(env, i, addrs[i], size, None)?
                    };
                    offs[i] = o as u32;
                    if env.l.opt.check_race
                        && let Some(c) = env.sh.race.write(o, size, self.gid, self.at, fl.strong)
                    {
                        self.race(env, i, o, &c);
                    }
                    env.sh.write(o, size, &data[i]);
                }
                count_shared(&mut env.st.c.shared_store, &offs, size, m);
            }
            Space::Local => {
                for i in lanes(m) {
                    let o = self.local_at(env, i, addrs[i], size)?;
                    let b = bytes_of(&data[i]);
                    self.local[o..o + size as usize].copy_from_slice(&b[..size as usize]);
                }
            }
            Space::Param => {
                let i = m.trailing_zeros() as usize;
                return env.stop(
                    Kind::ReadOnly,
                    self,
                    Some(i as u32),
                    Some(addrs[i]),
                    "store to a kernel's parameters".into(),
                );
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn cp_async(
        &mut self,
        env: &mut Env<'_, '_>,
        bytes: u8,
        bypass: bool,
        dst: &Addr,
        src: &Addr,
        src_size: u32,
        ignore: u32,
        m: u32,
    ) -> Run<()> {
        let size = u32::from(bytes);
        let (to, mut from) = (self.addresses(dst), self.addresses(src));
        if matches!(src.base, Base::D(_)) {
            // A generic address is as good where it points to global memory.
            let _ = Self::resolve(Space::Generic, &mut from, m);
        }
        let mut data = Box::new([[0u32; 4]; 32]);
        let mut offs = [0u32; 32];
        let mut reads = 0u32;
        let mut useful = [0u32; 32];
        for i in lanes(m) {
            let o = self.shared_at(env, i, to[i], size)?;
            offs[i] = o as u32;
            let mut n = size;
            if src_size != NONE {
                n = self.w[src_size as usize][i];
                if n > size {
                    return env.stop(
                        Kind::Trap,
                        self,
                        Some(i as u32),
                        Some(from[i]),
                        format!("cp.async of {size} bytes with a source size of {n}"),
                    );
                }
            }
            if ignore != NONE && self.p[ignore as usize] >> i & 1 != 0 {
                n = 0;
            }
            env.st.c.zero_filled_bytes += u64::from(size - n);
            if from[i] & u64::from(size - 1) != 0 && (n > 0) {
                return self.misaligned(env, i, from[i], size, "global");
            }
            if n > 0 {
                reads |= 1 << i;
                useful[i] = n;
                // Only the first bytes are read, so that a copy may stand at the edge of an allocation.
                let mut buf = [0u8; 16];
                let (al, off) = match env.l.mem.find(from[i], &mut self.hint) {
                    Some(al) if from[i] - al.base + u64::from(n) <= al.size => (al, from[i] - al.base),
                    _ => return self.out_of_bounds(env, i, from[i], n, "global"),
                };
                if env.l.opt.check_init && !al.is_valid(off, n) {
                    env.find(
                        Kind::Uninitialised,
                        self,
                        Some(i as u32),
                        Some(from[i]),
                        format!(
                            "copy of {n} bytes of global memory that nothing has written, {off} bytes into {}",
                            al.name
                        ),
                    );
                }
                if env.l.opt.check_race {
                    self.order(env, al, off, n, None, false, MemFlags::default(), i);
                }
                if n == 16 {
                    data[i] = al.read(off, 16);
                } else {
                    al.read_bytes(off, &mut buf[..n as usize]);
                    data[i] = words(&buf);
                }
            }
            if env.l.opt.check_race
                && let Some(c) = env.sh.race.copy_write(o, size, self.gid, self.at)
            {
                self.race(env, i, o, &c);
            }
            env.sh.in_flight(o, size);
        }
        let c = if bypass { &mut env.st.c.cp_async_cg } else { &mut env.st.c.cp_async_ca };
        if reads != 0 {
            count_global(c, &from, size, reads);
        }
        count_shared(&mut env.st.c.shared_cp_async, &offs, size, m);
        // Lanes may be in different groups.
        let mut left = m;
        while left != 0 {
            let g = self.group[left.trailing_zeros() as usize];
            let part = lanes(left).filter(|i| self.group[*i] == g).fold(0u32, |s, i| s | 1 << i);
            left &= !part;
            let copy = Copy { group: g, mask: part, bytes, dst: offs, data: data.clone() };
            // A copy may land at once as well; whoever waits does not notice.
            if env.l.opt.copies_land_early || (env.l.opt.shuffle != 0 && draw(&mut self.random) & 1 != 0) {
                self.land(env, &copy, part);
            } else {
                self.copies.push(copy);
            }
        }
        Ok(())
    }

    pub(super) fn land(&mut self, env: &mut Env<'_, '_>, c: &Copy, mask: u32) {
        for i in lanes(mask) {
            env.sh.write(c.dst[i] as usize, u32::from(c.bytes), &c.data[i]);
        }
    }

    /// Lands the copies of the lanes' groups except the latest `n`; without a number, all copies.
    pub(super) fn cp_wait(&mut self, env: &mut Env<'_, '_>, n: Option<u32>, m: u32) {
        let mut copies = std::mem::take(&mut self.copies);
        for c in &mut copies {
            let due = lanes(c.mask & m)
                .filter(|i| n.is_none_or(|n| c.group.saturating_add(n) < self.group[*i]))
                .fold(0u32, |s, i| s | 1 << i);
            if due != 0 {
                self.land(env, c, due);
                c.mask &= !due;
            }
        }
        copies.retain(|c| c.mask != 0);
        self.copies = copies;
        // Copies that an mbarrier hears of belong to their groups all the same.
        let (gid, groups) = (self.gid, self.group);
        env.sh.land_those(env.l.mem, &env.l.atomics, |f| {
            f.warp == gid
                && m >> f.lane & 1 != 0
                && matches!(f.what, What::Arrive { .. })
                && n.is_none_or(|n| f.group.saturating_add(n) < groups[f.lane as usize])
        });
        env.sh.race.wait_copies(self.gid, n);
    }
}

pub(super) fn words(b: &[u8; 16]) -> [u32; 4] {
    std::array::from_fn(|i| u32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]]))
}
pub(super) fn bytes_of(w: &[u32; 4]) -> [u8; 16] {
    std::array::from_fn(|i| (w[i / 4] >> (8 * (i & 3))) as u8)
}
/// `per` bytes at a byte offset of a lane's data.
#[inline]
pub(super) fn pick(d: &[u32; 4], at: usize, per: usize) -> u64 {
    match per {
        4 => u64::from(d[at / 4]),
        8 => u64::from(d[at / 4]) | u64::from(d[at / 4 + 1]) << 32,
        _ => u64::from(d[at / 4] >> (8 * (at & 3))) & ((1 << (8 * per)) - 1),
    }
}
#[inline]
pub(super) fn stuff(d: &mut [u32; 4], at: usize, per: usize, v: u64) {
    match per {
        4 => d[at / 4] = v as u32,
        8 => {
            d[at / 4] = v as u32;
            d[at / 4 + 1] = (v >> 32) as u32;
        }
        _ => d[at / 4] |= ((v & ((1 << (8 * per)) - 1)) as u32) << (8 * (at & 3)),
    }
}

/// Counts the sectors of a request.
pub(super) fn count_global(c: &mut GlobalAccess, addrs: &D, size: u32, m: u32) {
    c.requests += 1;
    let n = u64::from(m.count_ones());
    c.bytes += n * u64::from(size);
    c.width[size.trailing_zeros() as usize] += n;
    let mut seen = [0u64; 33];
    let mut k = 0usize;
    let mut last = u64::MAX;
    for i in lanes(m) {
        let s = addrs[i] >> 5;
        if s == last {
            continue;
        }
        last = s;
        if !seen[..k].contains(&s) {
            seen[k] = s;
            k += 1;
        }
    }
    c.sectors += k as u64;
}

pub(super) fn count_shared(c: &mut SharedAccess, offs: &V, size: u32, m: u32) {
    c.requests += 1;
    let (w, i) = wavefronts(offs, size, m);
    c.wavefronts += w;
    c.ideal += i;
}
