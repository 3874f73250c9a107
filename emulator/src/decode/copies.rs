//! mbarriers, bulk and tensor copies, and what changes tensor maps.

use super::*;

const COMPLETE: &str = "mbarrier::complete_tx::bytes";

impl<'a> Decoder<'_, 'a> {
    pub(super) fn mbarrier(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        let what = m.any(&["init", "inval", "arrive_drop", "arrive", "pending_count", "test_wait", "try_wait"]);
        let expect = m.take("expect_tx");
        let what = what.or(if expect { Some("expect_tx") } else { m.any(&["complete_tx"]) });
        let parity = m.take("parity");
        let no_complete = m.take("noComplete");
        let order = m.any(&["release", "acquire", "relaxed"]);
        let scope = m.any(&["cta", "cluster"]);
        let relaxed = order == Some("relaxed");
        if order.is_some() != scope.is_some() {
            return self.unknown("an order and a scope go together");
        }
        // Without a space the address is generic, and may as well point into another block.
        let remote = m.take("shared::cluster") || !(m.take("shared::cta") || m.take("shared"));
        if !m.take("b64") {
            return self.unknown("modifiers");
        }
        let Some(what) = what else {
            return self.unknown("operation");
        };
        let waits = matches!(what, "test_wait" | "try_wait");
        let arrives = matches!(what, "arrive" | "arrive_drop");
        let order_fits = match order {
            None => true,
            Some("acquire") => waits,
            Some("release") => arrives,
            Some(_) => waits || arrives || matches!(what, "expect_tx" | "complete_tx"),
        };
        if !order_fits || (parity && !waits) || (no_complete && (!arrives || expect || order.is_some())) {
            return self.unknown("modifiers");
        }
        if expect && !arrives && what != "expect_tx" {
            return self.unknown("modifiers");
        }
        if waits {
            if !(3..=4).contains(&ops.len()) || (ops.len() == 4 && what == "test_wait") {
                return self.unknown("number of operands");
            }
            let p = self.dp(&ops[0])?;
            let (a, _) = self.addr(&ops[1], Space::Shared)?;
            let v = if parity { Reg::W(self.w(&ops[2], Ty::U32)?) } else { Reg::D(self.d(&ops[2], Ty::B64)?) };
            return self.push(Op::MbarWait { a, parity, blocking: what == "try_wait", relaxed, p, v });
        }
        if what == "pending_count" {
            let o = self.need(ops, 2)?;
            let (d, s) = (Reg::W(self.dw(&o[0])?), Reg::D(self.d(&o[1], Ty::B64)?));
            return self.scalar(&[d], &[s], |s| [s[0] & 0xf_ffff, 0]);
        }
        // Only an arrival can have a result, and then it comes first.
        let has_d = arrives && !matches!(ops.first(), Some(Opd::Mem(..)));
        let k = usize::from(has_d);
        let d = match (has_d, ops.first()) {
            (true, Some(o)) if !Self::is_sink(o) => Some(Reg::D(self.dd(o)?)),
            _ => None,
        };
        let Some(place) = ops.get(k) else {
            return self.unknown("number of operands");
        };
        let (a, _) = self.addr(place, Space::Shared)?;
        let arg = match ops.get(k + 1) {
            Some(o) => self.w(o, Ty::U32)?,
            None => NONE,
        };
        let needs = matches!(what, "init" | "complete_tx") || expect || no_complete;
        if ops.len() > k + 2 || (needs && arg == NONE) || (what == "inval" && arg != NONE) {
            return self.unknown("number of operands");
        }
        let (kind, count, tx) = match what {
            "init" => (MbarOp::Init, arg, NONE),
            "inval" => (MbarOp::Inval, NONE, NONE),
            "arrive" if expect => (MbarOp::Arrive, NONE, arg),
            "arrive" => (MbarOp::Arrive, arg, NONE),
            "arrive_drop" if expect => (MbarOp::Drop, NONE, arg),
            "arrive_drop" => (MbarOp::Drop, arg, NONE),
            "expect_tx" => (MbarOp::ExpectTx, NONE, arg),
            _ => (MbarOp::CompleteTx, NONE, arg),
        };
        let remote = remote && !matches!(kind, MbarOp::Init | MbarOp::Inval);
        self.push(Op::Mbar { kind, a, remote, relaxed, count, tx, d })
    }

    /// `cp.async.mbarrier.arrive`.
    pub(super) fn copy_arrive(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if !m.take("arrive") {
            return self.unknown("operation");
        }
        let noinc = m.take("noinc");
        m.any(&["shared::cta", "shared"]);
        if !m.take("b64") {
            return self.unknown("type");
        }
        let o = self.need(ops, 1)?;
        let (a, _) = self.addr(&o[0], Space::Shared)?;
        self.push(Op::CpArrive { a, noinc })
    }

    /// `st.async` and `red.async`.
    pub(super) fn store_async(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        self.requires(90, false)?;
        m.any(&["weak", "relaxed"]);
        m.take("cluster");
        if !m.take("shared::cluster") | !m.take(COMPLETE) {
            return self.unknown("space or completion");
        }
        let op = if base == "red" {
            match self.reduction(m) {
                Some(op) => Some(op),
                None => return self.unknown("operation"),
            }
        } else {
            None
        };
        let n = match m.any(&["v2", "v4"]) {
            Some(v) => v.as_bytes()[1] - b'0',
            None => 1,
        };
        let Some(ty) = m.ty().filter(|t| matches!(t.bytes(), 4 | 8)) else {
            return self.unknown("type");
        };
        let red = match op {
            None => None,
            Some(op) if n == 1 && shared_reduction(op, ty) => Some((op, ty)),
            Some(_) => return self.unknown("operation and type"),
        };
        let o = self.need(ops, 3)?;
        if u32::from(n) * ty.bytes() > 16 {
            return self.unknown("more than 16 bytes");
        }
        let (a, _) = self.addr(&o[0], Space::Shared)?;
        let s = self.vec_regs(&o[1], usize::from(n), ty, false)?;
        let (mbar, _) = self.addr(&o[2], Space::Shared)?;
        self.push(Op::StAsync { bytes: ty.bytes() as u8, n, s, a, mbar, red })
    }

    fn reduction(&self, m: &mut Mods<'a>) -> Option<AtomOp> {
        Some(match m.any(&["and", "or", "xor", "add", "inc", "dec", "min", "max"])? {
            "and" => AtomOp::And,
            "or" => AtomOp::Or,
            "xor" => AtomOp::Xor,
            "add" => AtomOp::Add,
            "inc" => AtomOp::Inc,
            "dec" => AtomOp::Dec,
            "min" => AtomOp::Min,
            _ => AtomOp::Max,
        })
    }

    pub(super) fn bulk(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>], reduce: bool) -> R<()> {
        if !reduce && m.take("commit_group") {
            return self.push(Op::BulkCommit);
        }
        if !reduce && m.take("wait_group") {
            m.take("read");
            let o = self.need(ops, 1)?;
            let Opd::Int(n) = o[0] else {
                return self.unknown("a number of groups expected");
            };
            return self.push(Op::BulkWait { n: n.min(u64::from(u32::MAX)) as u32 });
        }
        let prefetch = !reduce && m.take("prefetch");
        let op = if reduce {
            let op = self.reduction(m);
            if op.is_none() {
                return self.unknown("operation");
            }
            op
        } else {
            None
        };
        let dims = if m.take("tensor") {
            let d = m.any(&["1d", "2d", "3d", "4d", "5d"]);
            m.take("tile");
            if m.rest.iter().any(|x| x.starts_with("im2col")) {
                return self.unknown("im2col");
            }
            match d {
                Some(d) => usize::from(d.as_bytes()[0] - b'0'),
                None => return self.unknown("dimensions"),
            }
        } else {
            0
        };
        let hint = m.take("L2::cache_hint");
        if prefetch {
            // A hint: the operands have to be right, and that is all.
            if !m.take("L2") | !m.take("global") {
                return self.unknown("spaces");
            }
            let o = self.need(ops, if dims > 0 { 1 } else { 2 } + usize::from(hint))?;
            if dims > 0 {
                self.tensor(&o[0], dims)?;
            } else {
                self.addr(&o[0], Space::Global)?;
                self.w(&o[1], Ty::U32)?;
            }
            return self.push(Op::Prefetch);
        }
        let mbar = m.take(COMPLETE);
        let group = m.take("bulk_group");
        let (cluster, cta, global) = (m.take("shared::cluster"), m.take("shared::cta"), m.take("global"));
        if mbar == group {
            return self.unknown("completion");
        }
        let multicast = m.take("multicast::cluster");
        // Into shared memory, counted by an mbarrier: from global memory, or without dimensions from the own shared memory.
        let from_shared = cluster && cta;
        if mbar && !((cluster || cta) && (global != from_shared) && !(from_shared && dims > 0)) {
            return self.unknown("spaces");
        }
        if group && !(global && cta && !cluster) {
            return self.unknown("spaces");
        }
        if multicast && (!mbar || !cluster || from_shared) {
            return self.unknown("multicast");
        }
        if reduce && mbar && !from_shared {
            return self.unknown("spaces");
        }
        m.take("noftz");
        let ty = if reduce && dims == 0 { m.ty() } else { None };
        if let (Some(op), 0) = (op, dims) {
            let ok = ty.is_some_and(|t| if mbar { shared_reduction(op, t) } else { global_reduction(op, t) });
            if !ok {
                return self.unknown("operation and type");
            }
        }
        let first = if dims > 0 { 2 } else { 3 } + usize::from(mbar);
        let o = self.need(ops, first + usize::from(multicast) + usize::from(hint))?;
        let mask = if multicast { self.w(&o[first], Ty::U16)? } else { NONE };
        let bytes = if dims > 0 { NONE } else { self.w(&o[2], Ty::U32)? };
        if mbar {
            let (dst, _) = self.addr(&o[0], Space::Shared)?;
            let space = if from_shared { Space::Shared } else { Space::Global };
            let (src, coords) =
                if dims > 0 { self.tensor(&o[1], dims)? } else { (self.addr(&o[1], space)?.0, Vec::new().into()) };
            let (mbar, _) = self.addr(&o[if dims > 0 { 2 } else { 3 }], Space::Shared)?;
            let red = op.zip(ty);
            self.push(Op::BulkLoad(Box::new(BulkLoad { dst, src, from_shared, coords, bytes, mbar, mask, red })))
        } else {
            let (dst, coords) = if dims > 0 {
                self.tensor(&o[0], dims)?
            } else {
                (self.addr(&o[0], Space::Global)?.0, Vec::new().into())
            };
            let (src, _) = self.addr(&o[1], Space::Shared)?;
            self.push(Op::BulkStore(Box::new(BulkStore { dst, src, coords, bytes, red: op, ty })))
        }
    }

    fn tensor(&mut self, o: &Opd<'a>, dims: usize) -> R<(Addr, Box<[u32]>)> {
        let Opd::Tensor(map, coords) = o else {
            return self.unknown("a tensor map and coordinates expected");
        };
        if coords.len() != dims {
            return self.unknown("number of coordinates");
        }
        let (a, _) = self.addr(map, Space::Generic)?;
        let c = coords.iter().map(|x| self.w(x, Ty::S32)).collect::<R<Vec<u32>>>()?;
        Ok((a, c.into()))
    }

    /// `tensormap.replace` and `tensormap.cp_fenceproxy`.
    pub(super) fn tensormap(&mut self, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        self.requires(90, false)?;
        if m.take("cp_fenceproxy") {
            for x in ["global", "shared::cta", "tensormap::generic", "release", "sync", "aligned"] {
                if !m.take(x) {
                    return self.unknown("modifiers");
                }
            }
            if m.any(&["cta", "cluster", "gpu", "sys"]).is_none() {
                return self.unknown("scope");
            }
            let o = self.need(ops, 3)?;
            if !matches!(o[2], Opd::Int(128)) {
                return self.unknown("a size of 128 expected");
            }
            let (dst, src) = (self.addr(&o[0], Space::Global)?.0, self.addr(&o[1], Space::Shared)?.0);
            return self.push(Op::MapCopy { dst, src });
        }
        if !m.take("replace") | !m.take("tile") | !m.take("b1024") {
            return self.unknown("modifiers");
        }
        let Some(field) = m.any(&[
            "global_address",
            "rank",
            "box_dim",
            "global_dim",
            "global_stride",
            "element_stride",
            "elemtype",
            "interleave_layout",
            "swizzle_mode",
            "fill_mode",
        ]) else {
            return self.unknown("field");
        };
        self.requires(90, true)?;
        let shared = m.take("shared::cta");
        if !shared {
            m.take("global");
        }
        let wide = matches!(field, "global_address" | "global_stride");
        if !m.take(if wide { "b64" } else { "b32" }) {
            return self.unknown("type");
        }
        let numbered = matches!(field, "box_dim" | "global_dim" | "global_stride" | "element_stride");
        let o = self.need(ops, if numbered { 3 } else { 2 })?;
        let i = match &o[1] {
            Opd::Int(i) if *i < 5 => *i as usize,
            _ if numbered => return self.unknown("the number of a dimension"),
            _ => 0,
        };
        let part = match field {
            "global_address" => MapPart::Address,
            "rank" => MapPart::Rank,
            "box_dim" => MapPart::Box(i),
            "global_dim" => MapPart::Dim(i),
            "global_stride" => MapPart::Stride(i),
            "element_stride" => MapPart::ElementStride(i),
            "elemtype" => MapPart::Element,
            "interleave_layout" => MapPart::Interleave,
            "swizzle_mode" => MapPart::Swizzle,
            _ => MapPart::Fill,
        };
        let (a, _) = self.addr(&o[0], if shared { Space::Shared } else { Space::Generic })?;
        let last = &o[o.len() - 1];
        let v = if wide { Reg::D(self.d(last, Ty::B64)?) } else { Reg::W(self.w(last, Ty::B32)?) };
        self.push(Op::TensorMap(Box::new(MapField { part, shared, a, v })))
    }
}

/// Reductions into shared memory (section 9.7.9.25.4 of the ISA).
fn shared_reduction(op: AtomOp, ty: Ty) -> bool {
    match op {
        AtomOp::And | AtomOp::Or | AtomOp::Xor => ty == Ty::B32,
        AtomOp::Add => matches!(ty, Ty::U32 | Ty::S32 | Ty::U64),
        AtomOp::Inc | AtomOp::Dec => ty == Ty::U32,
        _ => matches!(ty, Ty::U32 | Ty::S32),
    }
}

fn global_reduction(op: AtomOp, ty: Ty) -> bool {
    match op {
        AtomOp::And | AtomOp::Or | AtomOp::Xor => matches!(ty, Ty::B32 | Ty::B64),
        AtomOp::Add => matches!(ty, Ty::U32 | Ty::S32 | Ty::U64 | Ty::F32 | Ty::F64 | Ty::F16 | Ty::BF16),
        AtomOp::Inc | AtomOp::Dec => ty == Ty::U32,
        _ => matches!(ty, Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64 | Ty::F16 | Ty::BF16),
    }
}
