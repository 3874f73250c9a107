//! Atomic operations of threads, and what they make of a value.

use super::*;

impl Warp {
    /// Replaces up to sixteen bytes at once and says what they were.
    #[allow(clippy::too_many_arguments)]
    fn replace(
        &mut self,
        env: &mut Env<'_, '_>,
        space: Space,
        lane: usize,
        addr: u64,
        size: u32,
        fl: MemFlags,
        (result, compares): (bool, bool),
        new: impl Fn([u32; 4]) -> [u32; 4],
    ) -> Run<[u32; 4]> {
        match space {
            Space::Global => {
                let (al, off) = self.global(env, lane, addr, size)?;
                if al.read_only {
                    let text = format!("atomic on {}", al.name);
                    return env.stop(Kind::ReadOnly, self, Some(lane as u32), Some(addr), text);
                }
                if env.l.opt.check_init && !al.is_valid(off, size) {
                    let text = format!(
                        "atomic on {size} bytes of global memory that nothing has written, {off} bytes into {}",
                        al.name
                    );
                    env.find(Kind::Uninitialised, self, Some(lane as u32), Some(addr), text);
                }
                let l = env.l;
                let _one_at_a_time = l.atomics.lock();
                let old = al.read(off, size);
                let v = new(old);
                if env.l.opt.check_race {
                    let a = self.access(env, al, off, size, None, true, fl, lane);
                    let (order, race) = (&env.l.order, &mut env.sh.race);
                    if result {
                        order.learn(race, &a, true);
                    }
                    order.access(env.l, race, &a);
                    // A comparison that fails writes nothing.
                    if !(compares && v == old) {
                        order.tell(race, &a, true);
                    }
                }
                self.changed |= v != old;
                al.write(off, size, &v);
                Ok(old)
            }
            Space::Shared | Space::Cluster => {
                let o = if space == Space::Shared {
                    self.shared_at(env, lane, addr, size)?
                } else {
                    self.cluster_at(env, lane, addr, size, None)?
                };
                self.shared_read_checks(env, lane, o, size, fl);
                if env.l.opt.check_race
                    && let Some(c) = env.sh.race.write(o, size, self.gid, self.at, true)
                {
                    self.race(env, lane, o, &c);
                }
                let old = env.sh.read(o, size);
                let v = new(old);
                self.changed |= v != old;
                env.sh.write(o, size, &v);
                Ok(old)
            }
            _ => env.stop(
                Kind::Trap,
                self,
                Some(lane as u32),
                Some(addr),
                "atomic on memory that is neither global nor shared".into(),
            ),
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn atomic(
        &mut self,
        env: &mut Env<'_, '_>,
        space: Space,
        op: AtomOp,
        ty: Ty,
        fl: MemFlags,
        d: Option<Reg>,
        a: &Addr,
        b: Reg,
        c: Option<Reg>,
        align: u32,
        m: u32,
    ) -> Run<()> {
        let addrs = self.addresses(a);
        let size = ty.bytes();
        if let Some(i) = lanes(m).find(|i| addrs[*i] & u64::from(align - 1) != 0) {
            return self.misaligned(env, i, addrs[i], align, "global");
        }
        for (space, addrs, part) in Self::by_space(space, &addrs, m) {
            if space == Space::Global {
                count_global(&mut env.st.c.global_atomic, &addrs, size, part);
            }
            for i in lanes(part) {
                let (vb, vc) = (self.get(b, i), c.map_or(0, |c| self.get(c, i)));
                let old = self.replace(env, space, i, addrs[i], size, fl, (d.is_some(), op == AtomOp::Cas), |raw| {
                    let new = atom(op, ty, u64::from(raw[0]) | u64::from(raw[1]) << 32, vb, vc);
                    [new as u32, (new >> 32) as u32, 0, 0]
                })?;
                if let Some(d) = d {
                    self.set(d, i, u64::from(old[0]) | u64::from(old[1]) << 32);
                }
            }
        }
        Ok(())
    }

    pub(super) fn atomic128(&mut self, env: &mut Env<'_, '_>, x: &Atom128, m: u32) -> Run<()> {
        let addrs = self.addresses(&x.a);
        for (space, addrs, part) in Self::by_space(x.space, &addrs, m) {
            if space == Space::Global {
                count_global(&mut env.st.c.global_atomic, &addrs, 16, part);
            }
            for i in lanes(part) {
                let value = |w: &Self, r: &[Reg; 4]| {
                    let (lo, hi) = (w.get(r[0], i), w.get(r[1], i));
                    [lo as u32, (lo >> 32) as u32, hi as u32, (hi >> 32) as u32]
                };
                let b = value(self, &x.b);
                let c = x.c.as_ref().map(|c| value(self, c));
                let old =
                    self.replace(env, space, i, addrs[i], 16, x.fl, (x.d.is_some(), c.is_some()), |old| match c {
                        Some(c) => {
                            if old == b {
                                c
                            } else {
                                old
                            }
                        }
                        None => b,
                    })?;
                if let Some(d) = &x.d {
                    self.set(d[0], i, u64::from(old[0]) | u64::from(old[1]) << 32);
                    self.set(d[1], i, u64::from(old[2]) | u64::from(old[3]) << 32);
                }
            }
        }
        Ok(())
    }
}

/// The new value of an atomic operation.
pub(crate) fn atom(op: AtomOp, ty: Ty, old: u64, b: u64, c: u64) -> u64 {
    let (o32, b32) = (old as u32, b as u32);
    match (op, ty) {
        (AtomOp::Exch, _) => b,
        (AtomOp::Cas, _) => {
            let m = if ty.is64() { u64::MAX } else { (1u64 << (8 * ty.bytes())) - 1 };
            if old & m == b & m { c } else { old }
        }
        (AtomOp::And, _) => old & b,
        (AtomOp::Or, _) => old | b,
        (AtomOp::Xor, _) => old ^ b,
        (AtomOp::Inc, _) => u64::from(if o32 >= b32 { 0 } else { o32 + 1 }),
        (AtomOp::Dec, _) => u64::from(if o32 == 0 || o32 > b32 { b32 } else { o32 - 1 }),
        (AtomOp::Add, Ty::F32) => u64::from((f32::from_bits(o32) + f32::from_bits(b32)).to_bits()),
        (AtomOp::Add, Ty::F64) => (f64::from_bits(old) + f64::from_bits(b)).to_bits(),
        (AtomOp::Add, Ty::F16) => u64::from(f32_to_half(half_to_f32(o32 as u16) + half_to_f32(b32 as u16))),
        (AtomOp::Add, Ty::F16x2) => {
            let f = |s: u32| u32::from(f32_to_half(half_to_f32((o32 >> s) as u16) + half_to_f32((b32 >> s) as u16)));
            u64::from(f(0) | f(16) << 16)
        }
        (AtomOp::Add, Ty::BF16 | Ty::BF16x2) => {
            let f =
                |s: u32| u32::from(f32_to_bf16(f32::from_bits((o32 >> s) << 16) + f32::from_bits((b32 >> s) << 16)));
            u64::from(if ty == Ty::BF16 { f(0) } else { f(0) | f(16) << 16 })
        }
        (AtomOp::Min | AtomOp::Max, Ty::F16 | Ty::F16x2 | Ty::BF16 | Ty::BF16x2) => {
            let format = if matches!(ty, Ty::F16 | Ty::F16x2) { F16 } else { BF16 };
            let one = |s: u32| {
                let (x, y) = (format.value(o32 >> s & 0xffff), format.value(b32 >> s & 0xffff));
                let r = if op == AtomOp::Min { dmin(x, y) } else { dmax(x, y) };
                format.encode(r, Rnd::Near, false) << s
            };
            u64::from(if ty.bytes() == 4 { one(0) | one(16) } else { one(0) })
        }
        (AtomOp::Add, t) if t.is64() => old.wrapping_add(b),
        (AtomOp::Add, _) => u64::from(o32.wrapping_add(b32)),
        (AtomOp::Min, Ty::S64) => (old as i64).min(b as i64) as u64,
        (AtomOp::Max, Ty::S64) => (old as i64).max(b as i64) as u64,
        (AtomOp::Min, Ty::S32) => u64::from((o32 as i32).min(b32 as i32) as u32),
        (AtomOp::Max, Ty::S32) => u64::from((o32 as i32).max(b32 as i32) as u32),
        (AtomOp::Min, _) => old.min(b),
        (AtomOp::Max, _) => old.max(b),
    }
}
