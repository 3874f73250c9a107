//! Tensor maps that a kernel changes.

use super::*;
use crate::tensormap::TensorMap;

impl Warp {
    /// The 128 bytes at an address of a lane, to be changed by a function.
    fn change_map(
        &mut self,
        env: &mut Env<'_, '_>,
        lane: usize,
        shared: bool,
        addr: u64,
        change: impl Fn(&mut [u8; 128]) -> bool,
    ) -> Run<()> {
        let mut one = [addr; 32];
        let space = if shared { Ok(Space::Shared) } else { Self::resolve(Space::Generic, &mut one, 1 << lane) };
        let space = space.unwrap_or(Space::Global);
        let a = one[lane];
        let here = if matches!(space, Space::Shared | Space::Cluster) { "shared" } else { "global" };
        if a % 128 != 0 {
            return self.misaligned(env, lane, a, 128, here);
        }
        let mut b = [0u8; 128];
        let good = if here == "shared" {
            let first = self.shared_at(env, lane, a, 16)?;
            let last = self.shared_at(env, lane, a + 112, 16)?;
            for (k, o) in (first..=last).step_by(16).enumerate() {
                if let Some(c) = env.sh.race.write(o, 16, self.gid, self.at, false) {
                    self.race(env, lane, o, &c);
                }
                b[16 * k..16 * k + 16].copy_from_slice(&bytes_of(&env.sh.read(o, 16)));
            }
            let good = change(&mut b);
            for (k, o) in (first..=last).step_by(16).enumerate() {
                let piece: [u8; 16] = std::array::from_fn(|i| b[16 * k + i]);
                env.sh.write(o, 16, &words(&piece));
            }
            good
        } else {
            let (al, off) = self.global(env, lane, a, 16)?;
            if off + 128 > al.size {
                return self.out_of_bounds(env, lane, a, 128, here);
            }
            al.read_bytes(off, &mut b);
            let good = change(&mut b);
            al.write_bytes(off, &b);
            good
        };
        if good {
            return Ok(());
        }
        let text = "no tensor map at this address, or a field that it does not have";
        env.stop(Kind::Trap, self, Some(lane as u32), Some(addr), text.into())
    }

    pub(super) fn tensormap_field(&mut self, env: &mut Env<'_, '_>, x: &MapField, m: u32) -> Run<()> {
        let addrs = self.addresses(&x.a);
        for i in lanes(m) {
            let v = self.get(x.v, i);
            self.change_map(env, i, x.shared, addrs[i], |b| TensorMap::replace(b, x.part, v))?;
        }
        Ok(())
    }

    pub(super) fn tensormap_copy(&mut self, env: &mut Env<'_, '_>, dst: &Addr, src: &Addr) -> Run<()> {
        let (to, from) = (self.addresses(dst), self.addresses(src));
        if to[0] % 128 != 0 || from[0] % 128 != 0 {
            let a = if to[0] % 128 != 0 { to[0] } else { from[0] };
            return self.misaligned(env, 0, a, 128, "tensor map in");
        }
        let first = self.shared_at(env, 0, from[0], 16)?;
        self.shared_at(env, 0, from[0] + 112, 16)?;
        let (al, off) = self.global(env, 0, to[0], 16)?;
        if off + 128 > al.size {
            return self.out_of_bounds(env, 0, to[0], 128, "global");
        }
        for k in 0..8 {
            let o = first + 16 * k;
            self.shared_read_checks(env, 0, o, 16, MemFlags::default());
            al.write(off + 16 * k as u64, 16, &env.sh.read(o, 16));
        }
        env.sh.race.fence(self.gid, u32::MAX, true, true);
        Ok(())
    }
}
