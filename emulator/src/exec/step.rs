//! One instruction of a warp.

use super::*;

impl Warp {
    #[allow(clippy::too_many_lines)]
    pub(super) fn step(&mut self, env: &mut Env<'_, '_>, op: &Op, mask: u32, m: u32) -> Run<Flow> {
        macro_rules! alu {
            ($file:ident, $d:expr, $zero:expr, |$t:ident| $body:expr) => {{
                let mut $t = [$zero; 32];
                $body;
                put(&mut self.$file[*$d as usize], &$t, m);
            }};
        }
        macro_rules! w {
            ($r:expr) => {
                &self.w[*$r as usize]
            };
        }
        macro_rules! d {
            ($r:expr) => {
                &self.d[*$r as usize]
            };
        }
        match op {
            Op::Nop | Op::Prefetch => {}
            Op::Fence { wide, device } => env.sh.race.fence(self.gid, self.full(m), *wide, *device),
            Op::Scalar(x) => {
                let mut v = [0; 8];
                for i in lanes(m) {
                    for (v, s) in v.iter_mut().zip(&x.s) {
                        *v = self.get(*s, i);
                    }
                    let r = (x.f)(&v[..x.s.len()]);
                    for (d, r) in x.d.iter().zip(r) {
                        self.set(*d, i, r);
                    }
                }
            }
            Op::Bra { to, rpc } => return Ok(self.branch(*to, *rpc, mask, m)),
            Op::Brx { index, table, rpc } => {
                return self.branch_table(env, *index, table, *rpc, mask, m);
            }
            Op::Exit => {
                // Copies of lanes that end land, as they would.
                if self.live & !m == 0 {
                    for c in std::mem::take(&mut self.copies) {
                        self.land(env, &c, c.mask);
                    }
                }
                let partial = m != mask;
                let pc = self.at;
                if partial && let Some(t) = self.stack.last_mut() {
                    t.pc = pc + 1;
                }
                self.end_lanes(m);
                return Ok(Flow::Jump);
            }
            Op::Trap(s) => {
                return env.stop(Kind::Trap, self, Some(m.trailing_zeros()), None, (*s).to_owned());
            }
            Op::Assert(at) => return self.assertion(env, at, m),
            Op::Print { args, d } => self.print(env, *args, *d, m),
            Op::W1 { f, d, a } => alu!(w, d, 0u32, |t| f(w!(a), &mut t)),
            Op::W2 { f, d, a, b } => alu!(w, d, 0u32, |t| f(w!(a), w!(b), &mut t)),
            Op::W3 { f, d, a, b, c } => alu!(w, d, 0u32, |t| f(w!(a), w!(b), w!(c), &mut t)),
            Op::D1 { f, d, a } => alu!(d, d, 0u64, |t| f(d!(a), &mut t)),
            Op::D2 { f, d, a, b } => alu!(d, d, 0u64, |t| f(d!(a), d!(b), &mut t)),
            Op::D3 { f, d, a, b, c } => alu!(d, d, 0u64, |t| f(d!(a), d!(b), d!(c), &mut t)),
            Op::Dw { f, d, a, b } => alu!(d, d, 0u64, |t| f(d!(a), w!(b), &mut t)),
            Op::Dww { f, d, a, b, c } => alu!(d, d, 0u64, |t| f(d!(a), w!(b), w!(c), &mut t)),
            Op::Wd1 { f, d, a } => alu!(w, d, 0u32, |t| f(d!(a), &mut t)),
            Op::Dw1 { f, d, a } => alu!(d, d, 0u64, |t| f(w!(a), &mut t)),
            Op::Wide2 { f, d, a, b } => alu!(d, d, 0u64, |t| f(w!(a), w!(b), &mut t)),
            Op::Wide3 { f, d, a, b, c } => alu!(d, d, 0u64, |t| f(w!(a), w!(b), d!(c), &mut t)),
            Op::FloatX { f, d, a, b, c, ftz, sat } => {
                let load = |r: &u32| {
                    let v = self.w[*r as usize];
                    if *ftz { v.map(flush) } else { v }
                };
                let (va, vb, vc) = (load(a), load(b), load(c));
                let mut t = [0u32; 32];
                match f {
                    FloatFn::F1(f) => f(&va, &mut t),
                    FloatFn::F2(f) => f(&va, &vb, &mut t),
                    FloatFn::F3(f) => f(&va, &vb, &vc, &mut t),
                }
                if *ftz {
                    t = t.map(flush);
                }
                if *sat {
                    t = t.map(|x| {
                        let x = f32::from_bits(x);
                        if x > 0.0 { x.min(1.0).to_bits() } else { 0 }
                    });
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Lop3 { d, a, b, c, lut } => {
                let mut t = [0; 32];
                for (i, x) in t.iter_mut().enumerate() {
                    *x = lop3(w!(a)[i], w!(b)[i], w!(c)[i], *lut);
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Bfi32 { d, a, b, c, e } => {
                let mut t = [0; 32];
                for (i, x) in t.iter_mut().enumerate() {
                    *x = bfi32(w!(a)[i], w!(b)[i], w!(c)[i], w!(e)[i]);
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Bfi64 { d, a, b, c, e } => {
                let mut t = [0; 32];
                for (i, x) in t.iter_mut().enumerate() {
                    *x = bfi64(d!(a)[i], d!(b)[i], w!(c)[i], w!(e)[i]);
                }
                put(&mut self.d[*d as usize], &t, m);
            }
            Op::SetpW { f, d, d2, a, b, with } => {
                let v = f(w!(a), w!(b));
                self.set_pair(*d, *d2, v, with, m);
            }
            Op::SetpD { f, d, d2, a, b, with } => {
                let v = f(d!(a), d!(b));
                self.set_pair(*d, *d2, v, with, m);
            }
            Op::SetpF { f, ty, ftz, d, d2, a, b, with } => {
                let num = |bits: u64| -> f64 {
                    match ty {
                        Ty::F64 => f64::from_bits(bits),
                        Ty::F32 => f64::from(f32::from_bits(if *ftz { flush(bits as u32) } else { bits as u32 })),
                        Ty::F16 => f64::from(half_to_f32(bits as u16)),
                        _ => f64::from(f32::from_bits((bits as u32) << 16)),
                    }
                };
                let mut v = 0;
                for i in 0..32 {
                    v |= u32::from(f(num(self.get(*a, i)), num(self.get(*b, i)))) << i;
                }
                self.set_pair(*d, *d2, v, with, m);
            }
            Op::SelW { d, a, b, p, not } => {
                let p = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let mut t = *w!(b);
                put(&mut t, w!(a), p);
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::SelD { d, a, b, p, not } => {
                let p = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let mut t = *d!(b);
                put(&mut t, d!(a), p);
                put(&mut self.d[*d as usize], &t, m);
            }
            Op::P2 { f, d, a, b } => self.set_p(*d, f(self.p[*a as usize], self.p[*b as usize]), m),
            Op::PNot { d, a } => self.set_p(*d, !self.p[*a as usize], m),
            Op::PMov { d, a } => self.set_p(*d, self.p[*a as usize], m),
            Op::PConst { d, v } => self.set_p(*d, if *v { u32::MAX } else { 0 }, m),
            Op::Pack2x16 { d, s } => alu!(w, d, 0u32, |t| for (i, x) in t.iter_mut().enumerate() {
                *x = (w!(&s[0])[i] & 0xffff) | w!(&s[1])[i] << 16;
            }),
            Op::Unpack2x16 { d, s } => {
                let v = *w!(s);
                put(&mut self.w[d[0] as usize], &v.map(|x| x & 0xffff), m);
                put(&mut self.w[d[1] as usize], &v.map(|x| x >> 16), m);
            }
            Op::Pack2x32 { d, s } => alu!(d, d, 0u64, |t| for (i, x) in t.iter_mut().enumerate() {
                *x = u64::from(w!(&s[0])[i]) | u64::from(w!(&s[1])[i]) << 32;
            }),
            Op::Unpack2x32 { d, s } => {
                let v = *d!(s);
                put(&mut self.w[d[0] as usize], &v.map(|x| x as u32), m);
                put(&mut self.w[d[1] as usize], &v.map(|x| (x >> 32) as u32), m);
            }
            Op::Pack4x16 { d, s } => alu!(d, d, 0u64, |t| for (i, x) in t.iter_mut().enumerate() {
                for (k, r) in s.iter().enumerate() {
                    *x |= u64::from(w!(r)[i] & 0xffff) << (16 * k);
                }
            }),
            Op::Unpack4x16 { d, s } => {
                let v = *d!(s);
                for (k, r) in d.iter().enumerate() {
                    put(&mut self.w[*r as usize], &v.map(|x| (x >> (16 * k)) as u32 & 0xffff), m);
                }
            }
            Op::Cvt { dst, src, rnd, to_int, sat, ftz, relu, d, a } => {
                for i in lanes(m) {
                    let mut v = self.get(*a, i);
                    if *ftz && *src == Ty::F32 {
                        v = u64::from(flush(v as u32));
                    }
                    let mut r = convert(*dst, *src, *rnd, *to_int, *sat, v);
                    if *ftz && *dst == Ty::F32 {
                        r = u64::from(flush(r as u32));
                    }
                    if *relu && r & 0x8000 != 0 {
                        r = 0;
                    }
                    // Into a wider register a signed result is sign extended.
                    if dst.signed() && !dst.is64() && matches!(d, Reg::D(_)) {
                        r = r as u32 as i32 as i64 as u64;
                    }
                    self.set(*d, i, r);
                }
            }
            Op::CvtPack { d, hi, lo, bf, rnd, relu } => {
                let one = |x: u32| -> u32 {
                    let x = f32::from_bits(x);
                    let x = if *relu { fmax(x, 0.0) } else { x };
                    convert(if *bf { Ty::BF16 } else { Ty::F16 }, Ty::F32, *rnd, false, false, u64::from(x.to_bits()))
                        as u32
                };
                let near = !*bf && *rnd == Rnd::Near && !*relu;
                let t: V = std::array::from_fn(|i| {
                    let (h, l) = (w!(hi)[i], w!(lo)[i]);
                    if near {
                        u32::from(f32_to_half(f32::from_bits(h))) << 16 | u32::from(f32_to_half(f32::from_bits(l)))
                    } else {
                        one(h) << 16 | one(l)
                    }
                });
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Cvta { to, window, d, a } => {
                let t = d!(a).map(|x| if *to { x.wrapping_sub(*window) } else { x.wrapping_add(*window) });
                put(&mut self.d[*d as usize], &t, m);
            }
            Op::Clock { d } => {
                let ticks = env.l.spent.load(Relaxed).saturating_sub(env.budget);
                let now = env.l.opt.clock + ticks / u64::from(env.l.opt.sms.max(1));
                for i in lanes(m) {
                    self.set(*d, i, now);
                }
            }
            Op::Ld { space, bytes, n, ext, fl, d, a } => {
                self.hold(env);
                self.load(env, *space, *bytes, *n, *ext, *fl, d, a, m)?;
                self.keep(|lane| d[..*n as usize].iter().map(|r| (*r, 1 << lane)).collect());
            }
            Op::St { space, bytes, n, fl, s, a } => self.store(env, *space, *bytes, *n, *fl, s, a, m)?,
            Op::Atom { space, op, ty, fl, d, a, b, c, align } => {
                self.atomic(env, *space, *op, *ty, *fl, *d, a, *b, *c, *align, m)?
            }
            Op::Atom128(x) => self.atomic128(env, x, m)?,
            Op::CpAsync { bytes, bypass, dst, src, src_size, ignore } => {
                self.cp_async(env, *bytes, *bypass, dst, src, *src_size, *ignore, m)?
            }
            Op::CpCommit => {
                for i in lanes(m) {
                    self.group[i] += 1;
                }
                env.sh.race.commit(self.gid);
            }
            Op::CpWait { n } => self.cp_wait(env, Some(*n), m),
            Op::CpWaitAll => self.cp_wait(env, None, m),
            Op::Ldmatrix { n, trans, d, a } => {
                if !self.together(env, m, u32::MAX, "ldmatrix")? {
                    return Ok(Flow::Block);
                }
                self.hold(env);
                self.ldmatrix(env, *n, *trans, d, a)?;
                // A lane's address is that of a row, which goes to four lanes, or to every fourth.
                self.keep(|row| {
                    let lanes = if *trans { 0x1111_1111 << (row % 8 / 2) } else { 0xf << (4 * (row % 8)) };
                    vec![(Reg::W(d[row as usize / 8]), lanes)]
                });
            }
            Op::Stmatrix { n, trans, s, a } => {
                if !self.together(env, m, u32::MAX, "stmatrix")? {
                    return Ok(Flow::Block);
                }
                self.stmatrix(env, *n, *trans, s, a)?;
            }
            Op::Movmatrix { d, a } => {
                if !self.together(env, m, u32::MAX, "movmatrix")? {
                    return Ok(Flow::Block);
                }
                let v = *w!(a);
                let at = |r: usize, c: usize| (v[r * 4 + c / 2] >> (16 * (c & 1))) & 0xffff;
                let t: V = std::array::from_fn(|l| at(2 * (l & 3), l >> 2) | at(2 * (l & 3) + 1, l >> 2) << 16);
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Mma { f, d, a, b, c } => {
                if !self.together(env, m, u32::MAX, "mma")? {
                    return Ok(Flow::Block);
                }
                self.full_warp(env, "mma")?;
                let [na, nb, nc, nd] = f.regs();
                let mut fa = [[0u32; 32]; 4];
                let mut fb = [[0u32; 32]; 2];
                let mut acc = [[0u32; 32]; 4];
                for (to, from) in fa.iter_mut().zip(&a[..na]) {
                    *to = self.w[*from as usize];
                }
                for (to, from) in fb.iter_mut().zip(&b[..nb]) {
                    *to = self.w[*from as usize];
                }
                for (to, from) in acc.iter_mut().zip(&c[..nc]) {
                    *to = self.w[*from as usize];
                }
                mma::mma(f, env.l.rules(false), &fa, &fb, &mut acc);
                for (from, to) in acc.iter().zip(&d[..nd]) {
                    self.w[*to as usize] = *from;
                }
                env.st.c.mma_instructions += 1;
                env.st.c.issued_macs += 128 * f.k() as u64;
            }
            Op::SparseMma(x) => {
                if !self.together(env, m, u32::MAX, "mma.sp")? {
                    return Ok(Flow::Block);
                }
                self.sparse_mma(env, x)?;
            }
            Op::PlainMma(x) => {
                if !self.together(env, m, u32::MAX, "mma")? {
                    return Ok(Flow::Block);
                }
                self.plain_mma(env, x)?;
            }
            Op::WmmaMove(x) => {
                if !self.together(env, m, u32::MAX, "wmma")? {
                    return Ok(Flow::Block);
                }
                self.wmma_move(env, x)?;
            }
            Op::WmmaMma(x) => {
                if !self.together(env, m, u32::MAX, "wmma.mma")? {
                    return Ok(Flow::Block);
                }
                self.wmma_mma(env, x)?;
            }
            Op::Vote { op, d, p, not, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "vote")? {
                    return Ok(Flow::Block);
                }
                env.sh.race.lanes_meet(self.gid);
                let v = self.p[*p as usize] ^ if *not { u32::MAX } else { 0 };
                let q = need & m;
                let yes = v & q;
                match (op, d) {
                    (VoteOp::Ballot, Reg::W(d)) => put(&mut self.w[*d as usize], &[yes; 32], m),
                    (op, Reg::P(d)) => {
                        let r = match op {
                            VoteOp::All => yes == q,
                            VoteOp::Any => yes != 0,
                            _ => yes == q || yes == 0,
                        };
                        self.set_p(*d, if r { u32::MAX } else { 0 }, m);
                    }
                    _ => {}
                }
            }
            Op::Shfl { op, d, p, a, b, c, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "shfl")? {
                    return Ok(Flow::Block);
                }
                env.sh.race.lanes_meet(self.gid);
                let (va, vb, vc) = (*w!(a), *w!(b), *w!(c));
                let mut t = va;
                let mut ok = 0u32;
                for i in lanes(m) {
                    let seg = vc[i] >> 8 & 31;
                    let clamp = vc[i] & 31;
                    let lane = i as u32;
                    let max = (lane & seg) | (clamp & !seg);
                    let min = lane & seg;
                    let b = vb[i] & 31;
                    let (j, inside) = match op {
                        ShflOp::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= max as i32),
                        ShflOp::Down => (lane + b, lane + b <= max),
                        ShflOp::Bfly => (lane ^ b, lane ^ b <= max),
                        ShflOp::Idx => (min | (b & !seg), (min | (b & !seg)) <= max),
                    };
                    let j = if inside { j & 31 } else { lane };
                    if inside {
                        ok |= 1 << i;
                    }
                    t[i] = va[j as usize];
                    if m >> j & 1 == 0 && self.live >> j & 1 != 0 {
                        return env.stop(
                            Kind::Divergence,
                            self,
                            Some(lane),
                            None,
                            format!("shfl reads lane {j}, which does not take part"),
                        );
                    }
                }
                put(&mut self.w[*d as usize], &t, m);
                if *p != NONE {
                    self.set_p(*p, ok, m);
                }
            }
            Op::Match { all, wide, d, p, a, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "match")? {
                    return Ok(Flow::Block);
                }
                env.sh.race.lanes_meet(self.gid);
                let v: D =
                    std::array::from_fn(
                        |i| {
                            if *wide { self.d[*a as usize][i] } else { u64::from(self.w[*a as usize][i]) }
                        },
                    );
                let q = need & m;
                let mut t = [0; 32];
                for i in lanes(q) {
                    t[i] = lanes(q).filter(|j| v[*j] == v[i]).fold(0, |s, j| s | 1 << j);
                }
                if *all {
                    let same = lanes(q).all(|i| t[i] == q);
                    t = [if same { q } else { 0 }; 32];
                    if *p != NONE {
                        self.set_p(*p, if same { u32::MAX } else { 0 }, m);
                    }
                }
                put(&mut self.w[*d as usize], &t, m);
            }
            Op::Redux { op, d, a, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "redux")? {
                    return Ok(Flow::Block);
                }
                env.sh.race.lanes_meet(self.gid);
                let v = *w!(a);
                let r = lanes(need & m).map(|i| v[i]).reduce(|x, y| match op {
                    ReduxOp::AddU => x.wrapping_add(y),
                    ReduxOp::MinU => x.min(y),
                    ReduxOp::MaxU => x.max(y),
                    ReduxOp::MinS => (x as i32).min(y as i32) as u32,
                    ReduxOp::MaxS => (x as i32).max(y as i32) as u32,
                    ReduxOp::And => x & y,
                    ReduxOp::Or => x | y,
                    ReduxOp::Xor => x ^ y,
                });
                put(&mut self.w[*d as usize], &[r.unwrap_or(0); 32], m);
            }
            Op::Mbar { kind, a, remote, relaxed, count, tx, d } => {
                self.mbar(env, *kind, a, *remote, *relaxed, *count, *tx, *d, m)?
            }
            Op::MbarWait { a, parity, blocking, relaxed, p, v } => {
                return self.mbar_wait(env, a, *parity, *blocking, *relaxed, *p, *v, m);
            }
            Op::CpArrive { a, noinc } => self.copy_arrive(env, a, *noinc, m)?,
            Op::StAsync { bytes, n, s, a, mbar, red } => self.store_async(env, *bytes, *n, s, a, mbar, *red, m)?,
            Op::FenceAsync => env.sh.race.fence_async(self.gid),
            Op::BulkLoad(x) => self.bulk_load(env, x, m)?,
            Op::BulkStore(x) => self.bulk_store(env, x, m)?,
            Op::TensorMap(x) => self.tensormap_field(env, x, m)?,
            Op::MapCopy { dst, src } => {
                if !self.together(env, m, u32::MAX, "tensormap.cp_fenceproxy")? {
                    return Ok(Flow::Block);
                }
                self.tensormap_copy(env, dst, src)?;
            }
            Op::MapFence { .. } => env.sh.race.fence(self.gid, self.full(m), true, true),
            Op::SetMaxNReg { inc, n } => {
                if !self.together(env, m, u32::MAX, "setmaxnreg")? || !self.set_registers(env, *inc, *n)? {
                    return Ok(Flow::Block);
                }
            }
            Op::BulkCommit => self.bulk_commit(m),
            Op::WgmmaFence => {
                if !self.together(env, m, u32::MAX, "wgmma.fence")? {
                    return Ok(Flow::Block);
                }
                self.full_warp(env, "wgmma.fence")?;
                self.wgmma_fences += 1;
            }
            Op::BulkWait { n } => self.bulk_wait(env, *n, m),
            Op::WgmmaCommit => {
                if !self.together(env, m, u32::MAX, "wgmma.commit_group")? {
                    return Ok(Flow::Block);
                }
                self.full_warp(env, "wgmma.commit_group")?;
                env.sh.race.wgmma_commit(self.gid);
                self.wgmma_group += 1;
            }
            Op::WgmmaWait { n } => {
                if !self.together(env, m, u32::MAX, "wgmma.wait_group")? {
                    return Ok(Flow::Block);
                }
                self.full_warp(env, "wgmma.wait_group")?;
                self.wgmma_wait(env, *n);
            }
            Op::Wgmma(g) => {
                if !self.together(env, m, u32::MAX, "wgmma")? {
                    return Ok(Flow::Block);
                }
                if !self.meet_warpgroup(env, "wgmma")? {
                    return Ok(Flow::Block);
                }
                self.wgmma(env, g)?;
            }
            Op::Activemask { d } => put(&mut self.w[*d as usize], &[m; 32], m),
            Op::ClusterArrive { relaxed } => {
                if !self.together(env, m, u32::MAX, "barrier.cluster.arrive")? {
                    return Ok(Flow::Block);
                }
                if self.arrived.is_some() {
                    let text = "a second arrival at the cluster's barrier, with no wait after the first";
                    return env.stop(Kind::Trap, self, None, None, text.into());
                }
                let place = 16 * env.sh.blocks() as usize;
                if *relaxed {
                    env.sh.race.barrier_arrive_relaxed(place, self.gid);
                } else {
                    env.sh.race.barrier_arrive(place, self.gid);
                }
                self.arrived = Some(env.sh.cluster.generation);
                env.sh.cluster.arrived[self.gid as usize] = true;
                env.st.c.barriers += 1;
            }
            Op::ClusterWait => {
                if !self.together(env, m, u32::MAX, "barrier.cluster.wait")? {
                    return Ok(Flow::Block);
                }
                let Some(g) = self.arrived else {
                    let text = "a wait at the cluster's barrier with no arrival before";
                    return env.stop(Kind::Trap, self, None, None, text.into());
                };
                if env.sh.cluster.generation <= g {
                    self.state = State::Cluster(g);
                    return Ok(Flow::Block);
                }
                self.arrived = None;
                let place = 16 * env.sh.blocks() as usize;
                env.sh.race.barrier_pass(place, self.gid);
            }
            Op::Mapa { d, a, rank } => {
                for i in lanes(m) {
                    let r = self.w[*rank as usize][i];
                    if r >= env.sh.blocks() {
                        let text = format!("mapa to rank {r} in a cluster of {} blocks", env.sh.blocks());
                        return env.stop(Kind::OutOfBounds, self, Some(i as u32), None, text);
                    }
                    // A generic address keeps its window; the rank, plus one, stands above 24 bits of offset.
                    let v = self.get(*a, i) & !0xff00_0000;
                    self.set(*d, i, v | u64::from(r + 1) << 24);
                }
            }
            Op::Ctarank { d, a } => {
                for i in lanes(m) {
                    let r = self.get(*a, i) as u32 >> 24;
                    self.w[*d as usize][i] = if r == 0 { env.rank } else { r - 1 };
                }
            }
            Op::Elect { d, p, mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "elect")? {
                    return Ok(Flow::Block);
                }
                let leader = (need & m).trailing_zeros();
                if *d != NONE {
                    put(&mut self.w[*d as usize], &[leader; 32], m);
                }
                self.set_p(*p, 1u32.checked_shl(leader).unwrap_or(0), m);
            }
            Op::WarpSync { mask: mm } => {
                let need = self.w[*mm as usize][m.trailing_zeros() as usize];
                if !self.together(env, m, need, "bar.warp.sync")? {
                    return Ok(Flow::Block);
                }
                env.sh.race.lanes_meet(self.gid);
            }
            Op::Bar { id, count, arrive, red, not, d } => {
                return self.barrier(env, *id, *count, *arrive, *red, *not, *d, m);
            }
        }
        Ok(Flow::Next)
    }
}
