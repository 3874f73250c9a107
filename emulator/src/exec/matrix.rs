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

    /// Address and stride of a wmma load or store, by the rules of the ISA.
    fn wmma_place(&self, env: &Env<'_, '_>, x: &WmmaMove) -> Run<(Space, u64, u64)> {
        let all = self.addresses(&x.a);
        let lds = self.w[x.ld as usize];
        if all.iter().any(|a| *a != all[0]) || lds.iter().any(|a| *a != lds[0]) {
            let text = "a wmma address or stride that is not the same in every lane";
            return env.stop(Kind::Divergence, self, None, None, text.into());
        }
        let mut one = [all[0]; 32];
        let space = Self::resolve(x.space, &mut one, 1).unwrap_or(Space::Global);
        let size = x.f.el.bytes();
        let what = if matches!(space, Space::Shared | Space::Cluster) { "shared" } else { "global" };
        // The first address is a multiple of 32 bytes, the stride of 16; a matrix of bytes may be smaller.
        if one[0] % 32 != 0 {
            return self.misaligned(env, 0, one[0], 32, what);
        }
        if !lds[0].wrapping_mul(size).is_multiple_of(16) {
            let text = format!("a wmma stride of {} elements is not a multiple of 16 bytes", lds[0]);
            return env.stop(Kind::Misaligned, self, None, Some(one[0]), text);
        }
        Ok((space, one[0], u64::from(lds[0])))
    }

    pub(super) fn wmma_move(&mut self, env: &mut Env<'_, '_>, x: &WmmaMove) -> Run<()> {
        self.full_warp(env, "wmma")?;
        let (space, base, ld) = self.wmma_place(env, x)?;
        let size = x.f.el.bytes();
        let (n, cols) = (x.f.elements(), x.f.cols);
        let wide = x.f.el == WmmaEl::F64;
        let per = if wide { 1 } else { 4 / size };
        let before = (env.st.c.shared_load, env.st.c.shared_store);
        if x.load && !wide {
            for r in &x.regs {
                self.w[*r as usize] = [0; 32];
            }
        }
        for e in 0..n {
            let mut addrs: D = std::array::from_fn(|l| {
                let at = l as u32 * n + e;
                let (r, c) = (u64::from(at / cols), u64::from(at % cols));
                base + u64::from(size) * if x.row { r * ld + c } else { c * ld + r }
            });
            let mut data = [[0u32; 4]; 32];
            let (reg, shift) = (x.regs[(e / per) as usize] as usize, 8 * size * (e % per) % 32);
            if x.load {
                self.fetch(env, space, &mut addrs, size, MemFlags::default(), u32::MAX, &mut data)?;
                for (l, words) in data.iter().enumerate() {
                    if wide {
                        self.d[reg][l] = u64::from(words[0]) | u64::from(words[1]) << 32;
                    } else {
                        self.w[reg][l] |= words[0] << shift;
                    }
                }
            } else {
                for (l, words) in data.iter_mut().enumerate() {
                    *words = if wide {
                        [self.d[reg][l] as u32, (self.d[reg][l] >> 32) as u32, 0, 0]
                    } else {
                        let keep = if size == 4 { u32::MAX } else { (1 << (8 * size)) - 1 };
                        [self.w[reg][l] >> shift & keep, 0, 0, 0]
                    };
                }
                self.write(env, space, &addrs, size, MemFlags::default(), u32::MAX, &data)?;
            }
        }
        if matches!(space, Space::Shared | Space::Cluster) {
            let by_element = (env.st.c.shared_load, env.st.c.shared_store);
            (env.st.c.shared_load, env.st.c.shared_store) = before;
            if !Self::count_wmma(&mut env.st.c, x, base as u32, ld as u32) {
                (env.st.c.shared_load, env.st.c.shared_store) = by_element;
            }
        }
        Ok(())
    }

    /// Counts a fragment in shared memory as the hardware moves it, in 8x8 tiles: halves of A and B by `ldmatrix`, four tiles at a
    /// time, and accumulators as `mma.sync` has them, two elements a lane, where those lie side by side.
    fn count_wmma(c: &mut Counters, x: &WmmaMove, base: u32, ld: u32) -> bool {
        let size = x.f.el.bytes();
        let at = |row: u32, col: u32| base.wrapping_add(size * if x.row { row * ld + col } else { col * ld + row });
        let tiles = (0..x.f.rows / 8).flat_map(|r| (0..x.f.cols / 8).map(move |k| (8 * r, 8 * k)));
        if x.f.part != WmmaPart::C && size == 2 {
            let all: Vec<(u32, u32)> = tiles.collect();
            for four in all.chunks(4) {
                let mut offs = [0u32; 32];
                for (t, (row, col)) in four.iter().enumerate() {
                    for i in 0..8 {
                        offs[8 * t + i as usize] = if x.row { at(row + i, *col) } else { at(*row, col + i) };
                    }
                }
                count_shared(&mut c.ldmatrix, &offs, 16, u32::MAX >> (32 - 8 * four.len()));
            }
            return true;
        }
        let words = if x.load { &mut c.shared_load } else { &mut c.shared_store };
        if x.f.part != WmmaPart::C || !matches!(size, 2 | 4) {
            return false;
        }
        for (row, col) in tiles {
            let lane = |i: usize, k: u32| at(row + i as u32 / 4, col + 2 * (i as u32 % 4) + k);
            if x.row {
                count_shared(words, &std::array::from_fn(|i| lane(i, 0)), 2 * size, u32::MAX);
            } else {
                for k in 0..2 {
                    count_shared(words, &std::array::from_fn(|i| lane(i, k)), size, u32::MAX);
                }
            }
        }
        true
    }

    /// Bits of the elements of a fragment, in row order.
    fn wmma_elements(&self, f: &Fragment, regs: &[u32]) -> Vec<u64> {
        let (n, size) = (f.elements(), f.el.bytes());
        let per = (4 / size).max(1);
        (0..32 * n)
            .map(|at| {
                let (l, e) = ((at / n) as usize, at % n);
                let r = regs[(e / per) as usize] as usize;
                match size {
                    8 => self.d[r][l],
                    4 => u64::from(self.w[r][l]),
                    _ => u64::from(self.w[r][l] >> (8 * size * (e % per)) & ((1 << (8 * size)) - 1)),
                }
            })
            .collect()
    }

    pub(super) fn wmma_mma(&mut self, env: &mut Env<'_, '_>, x: &WmmaMma) -> Run<()> {
        self.full_warp(env, "wmma.mma")?;
        let [fd, fa, fb, fc] = &x.f;
        let (rows, cols, k) = (fd.rows as usize, fd.cols as usize, fa.cols as usize);
        let a = self.wmma_elements(fa, &x.regs[1]);
        let b = self.wmma_elements(fb, &x.regs[2]);
        let c = self.wmma_elements(fc, &x.regs[3]);
        let mut out = vec![0u64; rows * cols];
        let element = match fa.el {
            WmmaEl::Bf16 => Some(mma::El::Bf16),
            WmmaEl::Tf32 => Some(mma::El::Tf32),
            WmmaEl::S8 => Some(mma::El::S8),
            WmmaEl::U8 => Some(mma::El::U8),
            WmmaEl::F64 => None,
            _ => Some(mma::El::F16),
        };
        if let Some(el) = element {
            let acc = |e: WmmaEl| match e {
                WmmaEl::F16 => mma::Acc::F16,
                WmmaEl::S32 => mma::Acc::S32,
                _ => mma::Acc::F32,
            };
            let form = mma::Form { a: el, b: el, deep: true, c: acc(fc.el), d: acc(fd.el), saturate: x.saturate };
            let fbv: Vec<f32> = b.iter().map(|v| el.value(*v as u32, 0)).collect();
            for first in (0..rows).step_by(16) {
                let here = (rows - first).min(16);
                let mut fa: mma::Rows = [[0.0; 32]; 16];
                for (r, row) in fa.iter_mut().enumerate().take(here) {
                    for (i, v) in row.iter_mut().enumerate().take(k) {
                        *v = el.value(a[(first + r) * k + i] as u32, 0);
                    }
                }
                let mut acc = vec![0u32; 16 * cols];
                for (s, v) in acc.iter_mut().zip(&c[first * cols..(first + here) * cols]) {
                    *s = *v as u32;
                }
                mma::multiply::<512>(&form, env.l.rules(false), k, cols, &fa, &fbv, &mut acc);
                for (o, v) in out[first * cols..(first + here) * cols].iter_mut().zip(&acc) {
                    *o = u64::from(*v);
                }
            }
        } else {
            for (i, o) in out.iter_mut().enumerate() {
                let (r, j) = (i / cols, i % cols);
                let number = |v: u64| f64::from_bits(v);
                let dot = (0..k).fold(number(c[i]), |s, q| number(a[r * k + q]).mul_add(number(b[q * cols + j]), s));
                *o = dot.to_bits();
            }
        }
        let (n, size) = (fd.elements(), fd.el.bytes());
        let per = (4 / size).max(1);
        for (q, r) in x.regs[0].iter().enumerate() {
            for l in 0..32 {
                let at = |e: u32| out[(l as u32 * n + e) as usize];
                if size == 8 {
                    self.d[*r as usize][l] = at(q as u32);
                } else {
                    self.w[*r as usize][l] =
                        (0..per).fold(0, |w, e| w | (at(q as u32 * per + e) as u32) << (8 * size * e % 32));
                }
            }
        }
        env.st.c.mma_instructions += 1;
        env.st.c.issued_macs += (rows * cols * k) as u64;
        Ok(())
    }

    pub(super) fn sparse_mma(&mut self, env: &mut Env<'_, '_>, x: &SparseMma) -> Run<()> {
        self.full_warp(env, "mma.sp")?;
        let [na, nb, nc, nd] = x.f.regs();
        let places = match mma::sparse_places(&x.f, &self.w[x.places as usize], x.selector, x.ordered) {
            Ok(p) => p,
            Err((row, bits)) => {
                let text = format!(
                    "mma.sp with {bits:04b} for the places of elements of row {row} of A, which has no meaning"
                );
                return env.stop(Kind::Trap, self, Some(4 * (row as u32 % 8)), None, text);
            }
        };
        let mut fa = [[0u32; 32]; 4];
        let mut fb = [[0u32; 32]; 4];
        let mut acc = [[0u32; 32]; 4];
        for (to, from) in fa.iter_mut().zip(&x.a[..na]) {
            *to = self.w[*from as usize];
        }
        for (to, from) in fb.iter_mut().zip(&x.b[..2 * nb]) {
            *to = self.w[*from as usize];
        }
        for (to, from) in acc.iter_mut().zip(&x.c[..nc]) {
            *to = self.w[*from as usize];
        }
        if x.nibbles {
            mma::sparse_mma_of_nibbles(&x.f, &fa, &places, &fb, &mut acc);
        } else {
            mma::sparse_mma(&x.f, env.l.rules(false), &fa, &places, &fb, &mut acc);
        }
        for (from, to) in acc.iter().zip(&x.d[..nd]) {
            self.w[*to as usize] = *from;
        }
        env.st.c.mma_instructions += 1;
        env.st.c.issued_macs += 128 * x.f.k() as u64 * if x.nibbles { 2 } else { 1 };
        Ok(())
    }

    /// Products of doubles, and of integers by their bits. Lane `l` holds row (of B column) `l / 4`, and 32 bits or one double of
    /// the depth from `l % 4` on; the next register of A holds the row eight below, the one after the other half of the depth.
    pub(super) fn plain_mma(&mut self, env: &mut Env<'_, '_>, x: &PlainMma) -> Run<()> {
        self.full_warp(env, "mma")?;
        let tall = x.rows == 16;
        // The register and lane of A with a row and a quarter of the depth (`part` counts quarters of registers).
        let a_at = |row: usize, part: usize| {
            let half = usize::from(tall && row >= 8);
            let reg = if tall { half + 2 * (part / 4) } else { part / 4 };
            (x.a[reg] as usize, 4 * (row % 8) + part % 4)
        };
        let b_at = |col: usize, part: usize| (x.b[part / 4] as usize, 4 * col + part % 4);
        let parts = 4 * x.b.len();
        let rows = x.rows as usize;
        let at = |i: usize, l: usize| (l / 4 + 8 * (i / 2), 2 * (l % 4) + i % 2);
        match x.kind {
            PlainKind::F64 => {
                let mut out = vec![[0u64; 32]; x.d.len()];
                for (i, o) in out.iter_mut().enumerate() {
                    for (l, o) in o.iter_mut().enumerate() {
                        let (r, c) = at(i, l);
                        let sum = (0..parts).fold(f64::from_bits(self.d[x.c[i] as usize][l]), |s, p| {
                            let ((ra, la), (rb, lb)) = (a_at(r, p), b_at(c, p));
                            f64::from_bits(self.d[ra][la]).mul_add(f64::from_bits(self.d[rb][lb]), s)
                        });
                        *o = sum.to_bits();
                    }
                }
                for (r, o) in x.d.iter().zip(out) {
                    self.d[*r as usize] = o;
                }
                env.st.c.issued_macs += (rows * 8 * parts) as u64;
            }
            PlainKind::Int { bits, signed, xor, saturate } => {
                let mut out = vec![[0u32; 32]; x.d.len()];
                let number = |w: u32, e: u32, signed: bool| {
                    let v = w >> (e * bits) << (32 - bits);
                    if signed { i64::from(v as i32 >> (32 - bits)) } else { i64::from(v >> (32 - bits)) }
                };
                for (i, o) in out.iter_mut().enumerate() {
                    for (l, o) in o.iter_mut().enumerate() {
                        let (r, c) = at(i, l);
                        let mut sum = i64::from(self.w[x.c[i] as usize][l] as i32);
                        for p in 0..parts {
                            let ((ra, la), (rb, lb)) = (a_at(r, p), b_at(c, p));
                            let (wa, wb) = (self.w[ra][la], self.w[rb][lb]);
                            sum += if bits == 1 {
                                i64::from(if xor { wa ^ wb } else { wa & wb }.count_ones())
                            } else {
                                (0..32 / bits).map(|e| number(wa, e, signed[0]) * number(wb, e, signed[1])).sum()
                            };
                        }
                        *o = if saturate {
                            sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as u32
                        } else {
                            sum as u32
                        };
                    }
                }
                for (r, o) in x.d.iter().zip(out) {
                    self.w[*r as usize] = o;
                }
                env.st.c.issued_macs += (rows * 8 * parts) as u64 * u64::from(32 / bits);
            }
        }
        env.st.c.mma_instructions += 1;
        Ok(())
    }
}
