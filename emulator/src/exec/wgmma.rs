//! Products of warpgroups, and what is asked of their registers and of the shared memory that they read.

use super::*;
use crate::tensormap::swizzle;

impl Warp {
    /// Sixteen bytes of an operand in shared memory, by its descriptor: along the depth, its first or (`k` is 8) second half, or,
    /// transposed, along the rows (or columns) from `mn` at depth `k`.
    pub(super) fn piece(&mut self, env: &mut Env<'_, '_>, desc: u64, trans: bool, mn: u32, k: u32) -> Run<[u32; 4]> {
        let field = |bit: u32| ((desc >> bit) & 0x3fff) as u32 * 16;
        let (start, lbo, sbo) = (field(0), field(16), field(32));
        let span: u32 = match desc >> 62 {
            1 => 128,
            2 => 64,
            3 => 32,
            _ => 0,
        };
        if desc >> 49 & 7 != 0 {
            return env.stop(Kind::Trap, self, None, None, "a matrix descriptor with a base offset".into());
        }
        // The permutation takes its bits from the address; where the matrix begins within the pattern would be the base offset's to say.
        let rows = (span.saturating_sub(1) / 16) << 7;
        if start & rows != 0 {
            let text = format!(
                "a matrix descriptor with a swizzle of {span} bytes that starts at {start:#x}, {} bytes past a multiple of {}",
                start & (8 * span - 1),
                8 * span
            );
            return env.stop(Kind::Misaligned, self, None, Some(u64::from(start)), text);
        }
        let addr = match (trans, span) {
            (false, 0) => start + mn / 8 * sbo + k / 8 * lbo + mn % 8 * 16,
            (false, s) => start + mn / 8 * sbo + mn % 8 * s + k * 2,
            (true, 0) => start + mn / 8 * sbo + k / 8 * lbo + k % 8 * 16,
            (true, s) => start + mn / (s / 2) * lbo + k / 8 * sbo + k % 8 * s + mn % (s / 2) * 2,
        };
        let o = self.shared_at(env, 0, u64::from(swizzle(addr, span)), 16)?;
        if let Some(was) = env.sh.swizzle_of(o).filter(|was| *was != span) {
            let mode = |s: u32| if s == 0 { "no swizzle".to_owned() } else { format!("a swizzle of {s} bytes") };
            let text = format!(
                "a matrix descriptor with {}, of shared memory at offset {} that a tensor copy wrote with {}",
                mode(span),
                env.sh.local(o),
                mode(was)
            );
            return env.stop(Kind::Trap, self, None, Some(u64::from(addr)), text);
        }
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

    pub(super) fn in_flight(&self, env: &Env<'_, '_>, p: &Pending) {
        if env.l.opt.check_race {
            let (what, other) = (if p.role == AS_A { "A" } else { "accumulator" }, env.l.place(p.pc));
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
    pub(super) fn wgmma_registers(&mut self, env: &Env<'_, '_>, g: &Wgmma) {
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
            let other = env.l.place(pc);
            let text = format!("a wgmma uses registers that were accessed at {other}, with no wgmma.fence in between");
            env.find(Kind::Race, self, None, None, text);
        }
    }

    /// A wgmma is one instruction of four warps: comes to it, and says whether the others have as well.
    pub(super) fn meet_warpgroup(&mut self, env: &mut Env<'_, '_>) -> Run<bool> {
        self.full_warp(env, "wgmma")?;
        if (env.cta_threads / 32) <= self.id / 4 * 4 + 3 {
            return env.stop(Kind::Divergence, self, None, None, "wgmma in a warpgroup of less than four warps".into());
        }
        let me = self.gid as usize;
        if !self.at_wgmma {
            self.at_wgmma = true;
            env.sh.wgmmas[me] = (env.sh.wgmmas[me].0 + 1, self.at);
        }
        let n = env.sh.wgmmas[me].0;
        let first = me / 4 * 4;
        if let Some(w) = (first..first + 4).find(|w| env.sh.wgmmas[*w].0 == n && env.sh.wgmmas[*w].1 != self.at) {
            let other = env.l.place(env.sh.wgmmas[w].1);
            let text =
                format!("a wgmma of warp {}, while warp {} of its warpgroup is at the wgmma at {other}", self.id, {
                    self.id / 4 * 4 + (w - first) as u32
                });
            return env.stop(Kind::Divergence, self, None, None, text);
        }
        if env.sh.warpgroup_is_at(self.gid, n) {
            self.at_wgmma = false;
            Ok(true)
        } else {
            self.state = State::Warpgroup(n);
            Ok(false)
        }
    }

    pub(super) fn wgmma(&mut self, env: &mut Env<'_, '_>, g: &Wgmma) -> Run<()> {
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
                        let mut v = [0f32; 16];
                        f.a.values(&p, &mut v);
                        for (i, v) in v[..4 * per].iter().enumerate() {
                            if g.trans_a { a[mn + i][y] = *v } else { a[x][4 * per * y + i] = *v }
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
                let mut v = [0f32; 16];
                f.b.values(&p, &mut v);
                if g.trans_b {
                    b[y * n + mn..y * n + mn + 4 * per].copy_from_slice(&v[..4 * per]);
                } else {
                    for (i, v) in v[..4 * per].iter().enumerate() {
                        b[(4 * per * y + i) * n + x] = *v;
                    }
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
            let to = &mut self.w[*d as usize];
            for (l, to) in to.iter_mut().enumerate() {
                *to = if half { c[at(2 * i, l)] | c[at(2 * i + 1, l)] << 16 } else { c[at(i, l)] };
            }
        }
        env.st.c.mma_instructions += 1;
        env.st.c.issued_macs += 16 * k as u64 * u64::from(g.n);
        Ok(())
    }
}
