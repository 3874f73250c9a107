//! mbarriers, and bulk and tensor copies.

use super::*;

impl<'a> Decoder<'_, 'a> {
    pub(super) fn mbarrier(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let what = m.any(&["init", "inval", "arrive", "expect_tx", "complete_tx", "test_wait", "try_wait"]);
        let expect = what == Some("arrive") && m.take("expect_tx");
        let parity = m.take("parity");
        m.any(&["release", "acquire", "relaxed"]);
        m.any(&["cta", "cluster"]);
        // Without a space the address is generic, and may as well point into another block.
        let remote = m.take("shared::cluster") || !(m.take("shared::cta") || m.take("shared"));
        if !m.take("b64") {
            return self.unknown("modifiers");
        }
        let one = |k: usize| ops.get(k);
        let bad = || LoadError::new(0, "unsupported form (number of operands)");
        match what {
            Some("test_wait" | "try_wait") => {
                if !(3..=4).contains(&ops.len()) || (ops.len() == 4 && what == Some("test_wait")) {
                    return self.unknown("number of operands");
                }
                let p = self.dp(&ops[0])?;
                let (a, _) = self.addr(&ops[1], Space::Shared)?;
                let v = if parity { Reg::W(self.w(&ops[2], Ty::U32)?) } else { Reg::D(self.d(&ops[2], Ty::B64)?) };
                self.push(Op::MbarWait { a, parity, blocking: what == Some("try_wait"), p, v })
            }
            Some(what) => {
                if parity {
                    return self.unknown("parity");
                }
                // Only an arrival can have a result, and then it comes first.
                let has_d = what == "arrive" && !matches!(one(0), Some(Opd::Mem(..)));
                let k = usize::from(has_d);
                let d = match (has_d, one(0)) {
                    (true, Some(o)) if !Self::is_sink(o) => Some(Reg::D(self.dd(o)?)),
                    _ => None,
                };
                let (a, _) = self.addr(one(k).ok_or_else(bad)?, Space::Shared)?;
                let arg = match one(k + 1) {
                    Some(o) => self.w(o, Ty::U32)?,
                    None => NONE,
                };
                if ops.len() > k + 2 {
                    return self.unknown("number of operands");
                }
                let (kind, count, tx) = match what {
                    "init" => (MbarOp::Init, arg, NONE),
                    "inval" => (MbarOp::Inval, NONE, NONE),
                    "arrive" if expect => (MbarOp::Arrive, NONE, arg),
                    "arrive" => (MbarOp::Arrive, arg, NONE),
                    "expect_tx" => (MbarOp::ExpectTx, NONE, arg),
                    _ => (MbarOp::CompleteTx, NONE, arg),
                };
                let needs = matches!(kind, MbarOp::Init | MbarOp::ExpectTx | MbarOp::CompleteTx) || expect;
                if needs && arg == NONE {
                    return self.unknown("number of operands");
                }
                let remote = remote && !matches!(kind, MbarOp::Init | MbarOp::Inval);
                self.push(Op::Mbar { kind, a, remote, count, tx, d })
            }
            None => self.unknown("operation"),
        }
    }

    pub(super) fn bulk(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if m.take("commit_group") {
            return self.push(Op::BulkCommit);
        }
        if m.take("wait_group") {
            m.take("read");
            let o = self.need(ops, 1)?;
            let Opd::Int(n) = o[0] else {
                return self.unknown("a number of groups expected");
            };
            return self.push(Op::BulkWait { n: n.min(u64::from(u32::MAX)) as u32 });
        }
        let dims = if m.take("tensor") {
            let d = m.any(&["1d", "2d", "3d", "4d", "5d"]);
            m.take("tile");
            match d {
                Some(d) => usize::from(d.as_bytes()[0] - b'0'),
                None => return self.unknown("dimensions"),
            }
        } else {
            0
        };
        let hint = m.take("L2::cache_hint");
        let mbar = m.take("mbarrier::complete_tx::bytes");
        let group = m.take("bulk_group");
        let cluster = m.take("shared::cluster");
        if !(cluster || m.take("shared::cta")) || !m.take("global") || mbar == group {
            return self.unknown("spaces or completion");
        }
        let multicast = m.take("multicast::cluster");
        if multicast && (!mbar || !cluster) {
            return self.unknown("multicast");
        }
        let first = if dims > 0 { 2 } else { 3 } + usize::from(mbar);
        let o = self.need(ops, first + usize::from(multicast) + usize::from(hint))?;
        let mask = if multicast { self.w(&o[first], Ty::U16)? } else { NONE };
        let tensor = |s: &mut Self, o: &Opd<'a>| -> R<(Addr, Box<[u32]>)> {
            let Opd::Tensor(map, coords) = o else {
                return s.unknown("a tensor map and coordinates expected");
            };
            if coords.len() != dims {
                return s.unknown("number of coordinates");
            }
            let (a, _) = s.addr(map, Space::Generic)?;
            let c = coords.iter().map(|x| s.w(x, Ty::S32)).collect::<R<Vec<u32>>>()?;
            Ok((a, c.into()))
        };
        let bytes = if dims > 0 { NONE } else { self.w(&o[2], Ty::U32)? };
        if mbar {
            let (dst, _) = self.addr(&o[0], Space::Shared)?;
            let (src, coords) =
                if dims > 0 { tensor(self, &o[1])? } else { (self.addr(&o[1], Space::Global)?.0, Vec::new().into()) };
            let (mb, _) = self.addr(&o[if dims > 0 { 2 } else { 3 }], Space::Shared)?;
            self.push(Op::BulkLoad { dst, src, coords, bytes, mbar: mb, mask })
        } else {
            let (dst, coords) =
                if dims > 0 { tensor(self, &o[0])? } else { (self.addr(&o[0], Space::Global)?.0, Vec::new().into()) };
            let (src, _) = self.addr(&o[1], Space::Shared)?;
            self.push(Op::BulkStore { dst, src, coords, bytes })
        }
    }
}
