//! Matrices between registers and memory: ldmatrix, stmatrix, and wmma's loads and stores.

use super::*;

impl Warp {
    pub(super) fn row_addresses(&self, env: &Env<'_, '_>, a: &Addr, n: u8) -> Run<V> {
        let addrs = self.addresses(a);
        let mut offs = [0u32; 32];
        for i in 0..8 * n as usize {
            offs[i] = self.shared_at(env, i, addrs[i], 16)? as u32;
        }
        Ok(offs)
    }

    pub(super) fn ldmatrix(&mut self, env: &mut Env<'_, '_>, n: u8, trans: bool, d: &[u32; 4], a: &Addr) -> Run<()> {
        self.full_warp(env, "ldmatrix")?;
        let offs = self.row_addresses(env, a, n)?;
        let mut rows = [[0u32; 4]; 32];
        for i in 0..8 * n as usize {
            rows[i] = env.sh.read(offs[i] as usize, 16);
            self.shared_read_checks(env, i, offs[i] as usize, 16, MemFlags::default());
        }
        for j in 0..n as usize {
            let m = &rows[8 * j..8 * j + 8];
            self.w[d[j] as usize] = mma::ldmatrix(m, trans);
        }
        let mask = if n == 4 { u32::MAX } else { (1 << (8 * n)) - 1 };
        count_shared(&mut env.st.c.ldmatrix, &offs, 16, mask);
        Ok(())
    }

    pub(super) fn stmatrix(&mut self, env: &mut Env<'_, '_>, n: u8, trans: bool, s: &[u32; 4], a: &Addr) -> Run<()> {
        self.full_warp(env, "stmatrix")?;
        let offs = self.row_addresses(env, a, n)?;
        for j in 0..n as usize {
            let v = self.w[s[j] as usize];
            let rows = mma::stmatrix(&v, trans);
            for (r, row) in rows.iter().enumerate() {
                let o = offs[8 * j + r] as usize;
                if env.l.opt.check_race
                    && let Some(c) = env.sh.race.write(o, 16, self.gid, self.at, false)
                {
                    self.race(env, 8 * j + r, o, &c);
                }
                env.sh.write(o, 16, row);
            }
        }
        let mask = if n == 4 { u32::MAX } else { (1 << (8 * n)) - 1 };
        count_shared(&mut env.st.c.shared_store, &offs, 16, mask);
        Ok(())
    }

    /// The element (row, column) that lane `lane` holds at index `e` of a fragment, and its address.
    pub(super) fn wmma_elements(part: WmmaPart, lane: usize) -> [(u64, u64); 8] {
        let (g, t) = ((lane >> 2) as u64, (lane & 3) as u64);
        std::array::from_fn(|e| {
            let e = e as u64;
            match part {
                WmmaPart::A => (g + 8 * (e >> 1 & 1), 2 * t + (e & 1) + 8 * (e >> 2)),
                WmmaPart::B => (2 * t + (e & 1) + 8 * (e >> 1 & 1), g + 8 * (e >> 2)),
                WmmaPart::CF32 | WmmaPart::CF16 => (g + 8 * (e >> 1 & 1), 2 * t + (e & 1) + 8 * (e >> 2)),
            }
        })
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn wmma_prepare(
        &self,
        env: &Env<'_, '_>,
        part: WmmaPart,
        space: Space,
        a: &Addr,
        ld: u32,
    ) -> Run<(Space, u64, u64, u32)> {
        let all = self.addresses(a);
        let lds = self.w[ld as usize];
        if all.iter().any(|x| *x != all[0]) || lds.iter().any(|x| *x != lds[0]) {
            return env.stop(
                Kind::Divergence,
                self,
                None,
                None,
                "a wmma address or stride that is not the same in every lane".into(),
            );
        }
        let mut one = [all[0]; 32];
        let space = match Self::resolve(space, &mut one, 1) {
            Ok(s) => s,
            Err(_) => Space::Global,
        };
        let size = if part == WmmaPart::CF32 { 4u32 } else { 2 };
        let what = if matches!(space, Space::Shared | Space::Cluster) { "shared" } else { "global" };
        // The rules of the ISA: the first address is a multiple of 32 bytes, the stride of 16 bytes.
        if one[0] % 32 != 0 {
            return self.misaligned(env, 0, one[0], 32, what);
        }
        if !lds[0].wrapping_mul(size).is_multiple_of(16) {
            return env.stop(
                Kind::Misaligned,
                self,
                None,
                Some(one[0]),
                format!("a wmma stride of {} elements is not a multiple of 16 bytes", lds[0]),
            );
        }
        Ok((space, one[0], u64::from(lds[0]), size))
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn wmma_load(
        &mut self,
        env: &mut Env<'_, '_>,
        part: WmmaPart,
        row: bool,
        space: Space,
        d: &[u32; 8],
        a: &Addr,
        ld: u32,
    ) -> Run<()> {
        self.full_warp(env, "wmma.load")?;
        let (space, base, ld, size) = self.wmma_prepare(env, part, space, a, ld)?;
        let mut frag = [[0u32; 8]; 32];
        // Two neighbouring elements in a row are one access where the layout allows it.
        let el: Vec<[(u64, u64); 8]> = (0..32).map(|l| Self::wmma_elements(part, l)).collect();
        for e in 0..8 {
            let mut addrs: D = std::array::from_fn(|l| {
                let (r, c) = el[l][e];
                base + u64::from(size) * if row { r * ld + c } else { c * ld + r }
            });
            let mut data = [[0u32; 4]; 32];
            self.fetch(env, space, &mut addrs, size, MemFlags::default(), u32::MAX, &mut data)?;
            for l in 0..32 {
                frag[l][e] = data[l][0];
            }
        }
        for i in 0..8 {
            let t: V = match part {
                WmmaPart::CF32 => std::array::from_fn(|l| frag[l][i]),
                _ => std::array::from_fn(|l| frag[l][2 * (i & 3)] | frag[l][2 * (i & 3) + 1] << 16),
            };
            if part == WmmaPart::CF16 && i >= 4 {
                break;
            }
            self.w[d[i] as usize] = t;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn wmma_store(
        &mut self,
        env: &mut Env<'_, '_>,
        part: WmmaPart,
        row: bool,
        space: Space,
        s: &[u32; 8],
        a: &Addr,
        ld: u32,
    ) -> Run<()> {
        self.full_warp(env, "wmma.store")?;
        let (space, base, ld, size) = self.wmma_prepare(env, part, space, a, ld)?;
        for e in 0..8usize {
            let addrs: D = std::array::from_fn(|l| {
                let (r, c) = Self::wmma_elements(part, l)[e];
                base + u64::from(size) * if row { r * ld + c } else { c * ld + r }
            });
            let data: [[u32; 4]; 32] = std::array::from_fn(|l| match part {
                WmmaPart::CF32 => [self.w[s[e] as usize][l], 0, 0, 0],
                _ => [self.w[s[e / 2] as usize][l] >> (16 * (e & 1)) & 0xffff, 0, 0, 0],
            });
            self.write(env, space, &addrs, size, MemFlags::default(), u32::MAX, &data)?;
        }
        Ok(())
    }
}
