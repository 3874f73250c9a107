//! Copies and fills.

use super::*;

/// A copy whose direction its addresses tell.
fn copy_node(s: &State, dst: u64, src: u64, len: usize) -> Node {
    let dev = |a: u64| s.dev.memory.allocation(a).is_some();
    match (dev(dst), dev(src)) {
        (true, true) => Node::OnDevice { dst, src, len },
        (true, false) => Node::ToDevice { dst, src: src as usize, len },
        (false, true) => Node::ToHost { dst: dst as usize, src, len },
        (false, false) => Node::HostToHost { dst: dst as usize, src: src as usize, len },
    }
}

api! {
    fn cuMemcpyHtoD_v2(dst: DevPtr, src: *const c_void, len: usize) {
        null_ok(src, len)?;
        now(Node::ToDevice { dst, src: src as usize, len })
    }
    fn cuMemcpyHtoDAsync_v2(dst: DevPtr, src: *const c_void, len: usize, stream: Handle) {
        null_ok(src, len)?;
        later(stream, Node::ToDevice { dst, src: src as usize, len })
    }
    fn cuMemcpyDtoH_v2(dst: *mut c_void, src: DevPtr, len: usize) {
        null_ok(dst, len)?;
        now(Node::ToHost { dst: dst as usize, src, len })
    }
    fn cuMemcpyDtoHAsync_v2(dst: *mut c_void, src: DevPtr, len: usize, stream: Handle) {
        null_ok(dst, len)?;
        later(stream, Node::ToHost { dst: dst as usize, src, len })
    }
    fn cuMemcpyDtoD_v2(dst: DevPtr, src: DevPtr, len: usize) { now(Node::OnDevice { dst, src, len }) }
    fn cuMemcpyDtoDAsync_v2(dst: DevPtr, src: DevPtr, len: usize, stream: Handle) { later(stream, Node::OnDevice { dst, src, len }) }
    fn cuMemcpyPeerAsync(dst: DevPtr, _dc: Handle, src: DevPtr, _sc: Handle, len: usize, stream: Handle) { later(stream, Node::OnDevice { dst, src, len }) }
    fn cuMemcpy(dst: DevPtr, src: DevPtr, len: usize) {
        let n = copy_node(&state(), dst, src, len);
        now(n)
    }
    fn cuMemcpyAsync(dst: DevPtr, src: DevPtr, len: usize, stream: Handle) {
        let n = copy_node(&state(), dst, src, len);
        later(stream, n)
    }
    fn cuMemsetD8_v2(dst: DevPtr, v: u8, count: usize) { now(Node::Set { dst, pattern: v.into(), width: 1, count }) }
    fn cuMemsetD16_v2(dst: DevPtr, v: u16, count: usize) { now(Node::Set { dst, pattern: v.into(), width: 2, count }) }
    fn cuMemsetD32_v2(dst: DevPtr, v: u32, count: usize) { now(Node::Set { dst, pattern: v, width: 4, count }) }
    fn cuMemsetD8Async(dst: DevPtr, v: u8, count: usize, stream: Handle) { later(stream, Node::Set { dst, pattern: v.into(), width: 1, count }) }
    fn cuMemsetD16Async(dst: DevPtr, v: u16, count: usize, stream: Handle) { later(stream, Node::Set { dst, pattern: v.into(), width: 2, count }) }
    fn cuMemsetD32Async(dst: DevPtr, v: u32, count: usize, stream: Handle) { later(stream, Node::Set { dst, pattern: v, width: 4, count }) }
}
