//! Streams.

use super::*;

fn stream_new(ph: *mut Handle, flags: c_uint, priority: c_int) -> Res {
    let mut s = state();
    s.context()?;
    let id = s.add(Object::Stream(Stream { flags, priority, ..Stream::default() }));
    out(ph, p(id))
}

api! {
    fn cuStreamCreate(ph: *mut Handle, flags: c_uint) { stream_new(ph, flags, 0) }
    fn cuStreamCreateWithPriority(ph: *mut Handle, flags: c_uint, priority: c_int) { stream_new(ph, flags, priority.clamp(-5, 0)) }
    fn cuStreamDestroy_v2(stream: Handle) { remove(stream, |o| matches!(o, Object::Stream(_))) }
    fn cuStreamSynchronize(stream: Handle) {
        {
            let mut s = state();
            s.context()?;
            if s.capture_of(h(stream))?.is_some() {
                return Err(code::STREAM_CAPTURE_UNSUPPORTED);
            }
        }
        wait_idle()
    }
    fn cuStreamQuery(stream: Handle) {
        let mut s = state();
        s.context()?;
        if s.capture_of(h(stream))?.is_some() {
            return Err(code::STREAM_CAPTURE_UNSUPPORTED);
        }
        if s.hung.is_some() || s.working() { Err(code::NOT_READY) } else { Ok(()) }
    }
    fn cuStreamWaitEvent(stream: Handle, event: Handle, _flags: c_uint) {
        let mut s = state();
        s.context()?;
        let c = s.event(h(event))?.capture;
        if let (Some(c), Some(st)) = (c, s.stream(h(stream))?) {
            // Waiting for an event of a captured stream takes the waiting stream into the capture.
            st.capture.get_or_insert(c);
        }
        Ok(())
    }
    fn cuStreamGetCtx(_stream: Handle, pctx: *mut Handle) {
        state().context()?;
        out(pctx, p(CURRENT.with(Cell::get)))
    }
    fn cuStreamGetFlags(stream: Handle, flags: *mut c_uint) {
        let f = state().stream(h(stream))?.map_or(0, |s| s.flags);
        out(flags, f)
    }
    fn cuStreamGetPriority(stream: Handle, priority: *mut c_int) {
        let f = state().stream(h(stream))?.map_or(0, |s| s.priority);
        out(priority, f)
    }
}
