//! Capture and graphs.

use super::*;

fn instantiate(exec: *mut Handle, graph: Handle) -> Res {
    let mut s = state();
    s.context()?;
    let Some(Object::Graph(n)) = s.objects.get(&h(graph)) else {
        return Err(code::INVALID_HANDLE);
    };
    let n = n.clone();
    let id = s.add(Object::Exec(n));
    out(exec, p(id))
}

api! {
    fn cuStreamBeginCapture_v2(stream: Handle, _mode: c_int) {
        let mut s = state();
        s.context()?;
        let id = s.next_capture;
        let Some(st) = s.stream(h(stream))? else { return Err(code::STREAM_CAPTURE_UNSUPPORTED) };
        if st.capture.is_some() {
            return Err(code::STREAM_CAPTURE_UNSUPPORTED);
        }
        st.capture = Some(id);
        st.origin = true;
        s.next_capture += 1;
        s.captures.insert(id, Vec::new());
        Ok(())
    }
    fn cuStreamEndCapture(stream: Handle, graph: *mut Handle) {
        let mut s = state();
        s.context()?;
        let Some(st) = s.stream(h(stream))? else { return Err(code::STREAM_CAPTURE_UNMATCHED) };
        let (Some(id), true) = (st.capture, st.origin) else { return Err(code::STREAM_CAPTURE_UNMATCHED) };
        for o in s.objects.values_mut() {
            if let Object::Stream(st) = o
                && st.capture == Some(id)
            {
                st.capture = None;
                st.origin = false;
            }
        }
        let nodes = s.captures.remove(&id).ok_or(code::STREAM_CAPTURE_INVALIDATED)?;
        let g = s.add(Object::Graph(nodes));
        out(graph, p(g))
    }
    fn cuStreamIsCapturing(stream: Handle, status: *mut c_int) {
        let mut s = state();
        s.context()?;
        let c = s.capture_of(h(stream))?;
        out(status, c_int::from(c.is_some()))
    }
    fn cuThreadExchangeStreamCaptureMode(mode: *mut c_int) {
        if mode.is_null() { Err(code::INVALID_VALUE) } else { Ok(()) }
    }
    fn cuGraphCreate(graph: *mut Handle, _flags: c_uint) {
        let mut s = state();
        s.context()?;
        let g = s.add(Object::Graph(Vec::new()));
        out(graph, p(g))
    }
    fn cuGraphGetNodes(graph: Handle, nodes: *mut Handle, n: *mut usize) {
        let s = state();
        let Some(Object::Graph(g)) = s.objects.get(&h(graph)) else { return Err(code::INVALID_HANDLE) };
        // Nodes have no handles of their own: only their number can be asked for.
        if nodes.is_null() { out(n, g.len()) } else { Err(code::NOT_SUPPORTED) }
    }
    fn cuGraphDestroy(graph: Handle) { remove(graph, |o| matches!(o, Object::Graph(_))) }
    fn cuGraphInstantiateWithFlags(exec: *mut Handle, graph: Handle, _flags: u64) { instantiate(exec, graph) }
    fn cuGraphExecDestroy(exec: Handle) { remove(exec, |o| matches!(o, Object::Exec(_))) }
    fn cuGraphUpload(exec: Handle, stream: Handle) {
        let mut s = state();
        s.context()?;
        s.stream(h(stream))?;
        if matches!(s.objects.get(&h(exec)), Some(Object::Exec(_))) { Ok(()) } else { Err(code::INVALID_HANDLE) }
    }
    fn cuGraphLaunch(exec: Handle, stream: Handle) {
        let mut s = state();
        s.context()?;
        let Some(Object::Exec(n)) = s.objects.get(&h(exec)) else { return Err(code::INVALID_HANDLE) };
        for n in n.clone() {
            s.enqueue(h(stream), n)?;
            // A launch that fails ends the graph; the error shows at the next call.
            if s.sticky.is_some() {
                break;
            }
        }
        Ok(())
    }
}
