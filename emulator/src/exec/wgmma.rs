//! Products of warpgroups, and what is asked of their registers and of the shared memory that they read.

use super::*;
use crate::shared::Product;
use crate::tensormap::swizzle_from;

/// A wgmma whose result is not in a warp's registers yet.
pub(super) struct Late {
    /// Its number among those of the warpgroup, where it stands, and its group.
    number: u64,
    pc: u32,
    group: u32,
    /// A, where it comes from registers, as it was when the wgmma was issued.
    a: Option<[V; 4]>,
    /// The lanes whose accumulator counts.
    keep: u32,
}

/// Every sixteen bytes of an operand of `mn` rows (or columns) and depth `k`: the row and the depth at which they begin.
fn pieces(mn: usize, k: usize, trans: bool) -> impl Iterator<Item = (usize, usize)> {
    let (outer, inner) = if trans { (mn / 8, k) } else { (mn, 2) };
    (0..outer).flat_map(move |x| (0..inner).map(move |y| if trans { (8 * x, y) } else { (x, 8 * y) }))
}

impl Warp {
    /// Where sixteen bytes of an operand lie in shared memory, by its descriptor: along the depth, its first or (`k` is 8) second half, or,
    /// transposed, along the rows (or columns) from `mn` at depth `k`.
    fn piece(&self, env: &mut Env<'_, '_>, desc: u64, trans: bool, mn: u32, k: u32) -> Run<usize> {
        let field = |bit: u32| ((desc >> bit) & 0x3fff) as u32 * 16;
        let (start, lbo, sbo) = (field(0), field(16), field(32));
        let span: u32 = match desc >> 62 {
            1 => 128,
            2 => 64,
            3 => 32,
            _ => 0,
        };
        // Where the pattern begins, in rows of 128 bytes past a multiple of 1024. A matrix may begin anywhere in it: the permutation takes
        // its bits from the address.
        let base = if span == 0 { 0 } else { (desc >> 49 & 7) as u32 };
        let addr = match (trans, span) {
            (false, 0) => start + mn / 8 * sbo + k / 8 * lbo + mn % 8 * 16,
            (false, s) => start + mn / 8 * sbo + mn % 8 * s + k * 2,
            (true, 0) => start + mn / 8 * sbo + k / 8 * lbo + k % 8 * 16,
            (true, s) => start + mn / (s / 2) * lbo + k / 8 * sbo + k % 8 * s + mn % (s / 2) * 2,
        };
        let o = self.shared_at(env, 0, u64::from(swizzle_from(base, addr, span)), 16)?;
        let copied = env.sh.swizzle_of(o);
        if copied.is_some() && base & (span.saturating_sub(1) / 16) != 0 {
            let text = format!(
                "a matrix descriptor with a base offset of {base}, of shared memory at offset {} that a tensor copy wrote: its pattern begins at multiples of {}",
                env.sh.local(o),
                8 * span
            );
            return env.stop(Kind::Trap, self, None, Some(u64::from(addr)), text);
        }
        if let Some(was) = copied.filter(|was| *was != span) {
            let mode = |s: u32| if s == 0 { "no swizzle".to_owned() } else { format!("a swizzle of {s} bytes") };
            let text = format!(
                "a matrix descriptor with {}, of shared memory at offset {} that a tensor copy wrote with {}",
                mode(span),
                env.sh.local(o),
                mode(was)
            );
            return env.stop(Kind::Trap, self, None, Some(u64::from(addr)), text);
        }
        Ok(o)
    }

    /// Follows what an instruction other than wgmma does to the registers of wgmma.
    pub(super) fn watch(&mut self, env: &mut Env<'_, '_>, w: &Watch) {
        match w {
            Watch::Nothing => {}
            Watch::Move { d, s } => {
                if self.asynchronous[*s as usize].group > self.wgmma_done {
                    self.settle(env, u32::MAX);
                }
                self.asynchronous[*d as usize] = self.asynchronous[*s as usize];
            }
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

    /// A wgmma, or a setmaxnreg, is one instruction of four warps: comes to it, and says whether the others have as well.
    pub(super) fn meet_warpgroup(&mut self, env: &mut Env<'_, '_>, what: &str) -> Run<bool> {
        self.full_warp(env, what)?;
        if (env.cta_threads / 32) <= self.id / 4 * 4 + 3 {
            return env.stop(
                Kind::Divergence,
                self,
                None,
                None,
                format!("{what} in a warpgroup of less than four warps"),
            );
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
            let text = format!(
                "a {what} of warp {}, while warp {} of its warpgroup is at the {} at {other}",
                self.id,
                { self.id / 4 * 4 + (w - first) as u32 },
                if matches!(env.l.k.ins[env.sh.wgmmas[w].1 as usize].op, Op::Wgmma(_)) {
                    "wgmma"
                } else {
                    "setmaxnreg"
                }
            );
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

    /// Takes registers from the block's pool or gives some back, for the warp's part of its warpgroup; says whether it has them.
    pub(super) fn set_registers(&mut self, env: &mut Env<'_, '_>, inc: bool, n: u32) -> Run<bool> {
        if !self.met && !self.meet_warpgroup(env, "setmaxnreg")? {
            return Ok(false);
        }
        self.met = true;
        let Some(now) = self.registers else {
            self.met = false;
            return Ok(true);
        };
        // What a kernel begins with is known as an upper limit only: there may be as many already.
        if inc && n <= now {
            self.met = false;
            return Ok(true);
        }
        if !inc && n > now {
            let text = format!("setmaxnreg.dec to {n} registers, of a thread that has at most {now}");
            return env.stop(Kind::Trap, self, None, None, text);
        }
        let pool = &mut env.sh.registers[env.rank as usize];
        if inc && *pool < n - now {
            self.state = State::Registers(n - now);
            return Ok(false);
        }
        *pool = *pool + now - n;
        self.registers = Some(n);
        self.met = false;
        Ok(true)
    }

    /// Issues a wgmma to which all of the warpgroup has come. What it reads is checked now, for all four warps at once. What it computes is
    /// there at the latest when it is waited for: with random timing it may read its operands as late as that.
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
        let number = env.sh.wgmmas[self.gid as usize].0;
        let group = (self.gid / 4) as usize;
        let (a, b) = (g.a.ok().map(|r| self.d[r as usize][0]), self.d[g.b as usize][0]);
        match env.sh.products[group].iter().find(|p| p.number == number) {
            Some(p) if (p.a, p.b) == (a, b) => {}
            Some(_) => {
                let text = "a matrix descriptor that is not the same in every warp of the warpgroup";
                return env.stop(Kind::Divergence, self, None, None, text.into());
            }
            None => {
                self.check_operands(env, g, a, b)?;
                env.sh.products[group].push_back(Product { number, a, b, left: 4, data: None });
            }
        }
        let keep = self.p[g.scale_d.0 as usize] ^ if g.scale_d.1 { u32::MAX } else { 0 };
        let regs = g.a.err().map(|a| a.map(|r| self.w[r as usize]));
        self.late.push_back(Late { number, pc: self.at, group: self.wgmma_group, a: regs, keep });
        env.st.c.mma_instructions += 1;
        env.st.c.issued_macs += 16 * g.f.k() as u64 * u64::from(g.n);
        if env.l.opt.shuffle == 0 || draw(&mut self.random).is_multiple_of(2) {
            self.settle(env, u32::MAX);
        }
        Ok(())
    }

    /// Checks what a wgmma reads from shared memory. Each of the four warps answers for its rows of A and for a quarter of B.
    fn check_operands(&mut self, env: &mut Env<'_, '_>, g: &Wgmma, a: Option<u64>, b: u64) -> Run<()> {
        let first = self.gid / 4 * 4;
        if let Some(a) = a {
            for (mn, k) in pieces(64, g.f.k(), g.trans_a) {
                let o = self.piece(env, a, g.trans_a, mn as u32, k as u32)?;
                self.async_check(env, first + mn as u32 / 16, 0, o, true);
            }
        }
        for (i, (mn, k)) in pieces(g.n as usize, g.f.k(), g.trans_b).enumerate() {
            let o = self.piece(env, b, g.trans_b, mn as u32, k as u32)?;
            self.async_check(env, first + i as u32 % 4, 0, o, true);
        }
        Ok(())
    }

    /// Brings the results of wgmmas up to a group into the registers.
    pub(super) fn settle(&mut self, env: &mut Env<'_, '_>, group: u32) {
        while let Some(number) = self.late.front().filter(|l| l.group <= group).map(|l| l.number) {
            self.read_operands(env, number);
            let Some(late) = self.late.pop_front() else { return };
            let l = env.l;
            let Op::Wgmma(g) = &l.k.ins[late.pc as usize].op else { continue };
            let queue = (self.gid / 4) as usize;
            let Some(i) = env.sh.products[queue].iter().position(|p| p.number == late.number) else { continue };
            if let Some((a, b)) = &env.sh.products[queue][i].data {
                let rows = match &late.a {
                    None => a[(self.id & 3) as usize],
                    Some(regs) => {
                        let mut rows: mma::Rows = [[0.0; 32]; 16];
                        mma::rows(g.f.a, regs, &mut rows);
                        if g.neg_a {
                            rows.iter_mut().flatten().for_each(|x| *x = -*x);
                        }
                        rows
                    }
                };
                self.multiply(l.rules(true), g, &rows, b, late.keep);
            }
            let queue = &mut env.sh.products[queue];
            queue[i].left -= 1;
            while queue.front().is_some_and(|p| p.left == 0) {
                queue.pop_front();
            }
        }
    }

    /// Reads the operands of the warpgroup's wgmmas up to a number, where no warp has done so.
    pub(super) fn read_operands(&mut self, env: &mut Env<'_, '_>, number: u64) {
        let queue = (self.gid / 4) as usize;
        for i in 0..env.sh.products[queue].len() {
            let p = &env.sh.products[queue][i];
            if p.number > number || p.data.is_some() {
                continue;
            }
            let (a, b) = (p.a, p.b);
            let l = env.l;
            // All four are at the same instruction, and this warp has come to it.
            let Some(late) = self.late.iter().find(|l| l.number == p.number) else {
                continue;
            };
            let Op::Wgmma(g) = &l.k.ins[late.pc as usize].op else { continue };
            let data = self.operands(env, g, a, b);
            env.sh.products[queue][i].data = Some(data);
        }
    }

    /// The operands of a wgmma in shared memory: A's rows for each warp, and B by depth.
    fn operands(&self, env: &mut Env<'_, '_>, g: &Wgmma, a: Option<u64>, b: u64) -> (Vec<mma::Rows>, Vec<f32>) {
        let (f, n, k) = (&g.f, g.n as usize, g.f.k());
        let mut rows: Vec<mma::Rows> = Vec::new();
        if let Some(desc) = a {
            rows.resize(4, [[0.0; 32]; 16]);
            let per = f.a.per();
            for (mn, y) in pieces(64, k, g.trans_a) {
                let Ok(o) = self.piece(env, desc, g.trans_a, mn as u32, y as u32) else { break };
                let mut v = [0f32; 16];
                f.a.values(&env.sh.read(o, 16), &mut v);
                for (i, v) in v[..4 * per].iter().enumerate() {
                    let v = if g.neg_a { -*v } else { *v };
                    if g.trans_a {
                        rows[(mn + i) / 16][(mn + i) % 16][y] = v;
                    } else {
                        rows[mn / 16][mn % 16][4 * per * (y / 8) + i] = v;
                    }
                }
            }
        }
        let per = f.b.per();
        let mut out = vec![0f32; k * n];
        for (mn, y) in pieces(n, k, g.trans_b) {
            let Ok(o) = self.piece(env, b, g.trans_b, mn as u32, y as u32) else { break };
            let mut v = [0f32; 16];
            f.b.values(&env.sh.read(o, 16), &mut v);
            if g.neg_b {
                v.iter_mut().for_each(|x| *x = -*x);
            }
            if g.trans_b {
                out[y * n + mn..y * n + mn + 4 * per].copy_from_slice(&v[..4 * per]);
            } else {
                for (i, v) in v[..4 * per].iter().enumerate() {
                    out[(4 * per * (y / 8) + i) * n + mn] = *v;
                }
            }
        }
        (rows, out)
    }

    /// Multiplies sixteen rows of A by B, onto the accumulators of the lanes in `keep`.
    fn multiply(&mut self, rules: mma::Rules, g: &Wgmma, a: &mma::Rows, b: &[f32], keep: u32) {
        let (f, n) = (&g.f, g.n as usize);
        let half = f.d == mma::Acc::F16;
        // Value `i` of lane `4 * q + t` is in row `q` of its half and column `2 * t` from here.
        let from = |i: usize| (i >> 1 & 1) * 8 * n + 8 * (i >> 2) + (i & 1);
        let mut c = vec![0u32; 16 * n];
        for i in 0..n / 2 {
            let r = &self.w[g.d[if half { i / 2 } else { i }] as usize];
            let shift = if half { 16 * (i & 1) as u32 } else { 0 };
            for q in 0..8 {
                let to = &mut c[from(i) + q * n..];
                for t in 0..4 {
                    let v = if keep >> (4 * q + t) & 1 != 0 { r[4 * q + t] >> shift } else { 0 };
                    to[2 * t] = if half { v & 0xffff } else { v };
                }
            }
        }
        mma::multiply::<4096>(f, rules, f.k(), n, a, b, &mut c);
        for (i, d) in g.d.iter().enumerate() {
            let to = &mut self.w[*d as usize];
            for q in 0..8 {
                if half {
                    let (low, high) = (&c[from(2 * i) + q * n..], &c[from(2 * i + 1) + q * n..]);
                    for t in 0..4 {
                        to[4 * q + t] = low[2 * t] | high[2 * t] << 16;
                    }
                } else {
                    let row = &c[from(i) + q * n..];
                    for t in 0..4 {
                        to[4 * q + t] = row[2 * t];
                    }
                }
            }
        }
    }

    /// Waits for all but the latest `pending` wgmma groups. They are groups of the warpgroup: none of its warps reads for them any more.
    pub(super) fn wgmma_wait(&mut self, env: &mut Env<'_, '_>, pending: u32) {
        env.sh.race.wgmma_waited(self.gid, pending);
        self.wgmma_done = self.wgmma_done.max((self.wgmma_group - 1).saturating_sub(pending));
        self.settle(env, self.wgmma_done);
    }
}
