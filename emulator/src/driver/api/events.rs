//! Events.

use super::*;

fn elapsed(ms: *mut f32, a: Handle, b: Handle) -> Res {
    let mut s = state();
    s.context()?;
    let mut t = [0u64; 2];
    for (i, e) in [a, b].into_iter().enumerate() {
        let e = s.event(h(e))?;
        if e.flags & 2 != 0 {
            return Err(code::INVALID_HANDLE);
        }
        if e.never || e.after.is_some_and(|t| std::time::Instant::now() < t) {
            return Err(code::NOT_READY);
        }
        if e.capture.is_some() {
            return Err(code::CAPTURED_EVENT);
        }
        t[i] = e.time.ok_or(code::INVALID_HANDLE)?;
    }
    let mut d = t[1] as f64 - t[0] as f64;
    if s.cfg.jitter.is_some() {
        let (r, spike) = (s.random(), s.random());
        d *= 1.0 + 0.03 * r + if spike > 0.97 { 2.0 } else { 0.0 };
    }
    out(ms, (d / 1e6) as f32)
}

fn record(e: Handle, stream: Handle) -> Res {
    let mut s = state();
    s.context()?;
    let c = s.capture_of(h(stream))?;
    let ev = s.event(h(e))?;
    ev.capture = c;
    if c.is_some() {
        ev.time = None;
    }
    s.enqueue(h(stream), Node::Record { event: h(e) })
}

api! {
    fn cuEventCreate(e: *mut Handle, flags: c_uint) {
        let mut s = state();
        s.context()?;
        let id = s.add(Object::Event(Event { flags, ..Event::default() }));
        out(e, p(id))
    }
    fn cuEventDestroy_v2(e: Handle) { remove(e, |o| matches!(o, Object::Event(_))) }
    fn cuEventRecord(e: Handle, stream: Handle) { record(e, stream) }
    fn cuEventRecordWithFlags(e: Handle, stream: Handle, _flags: c_uint) { record(e, stream) }
    fn cuEventQuery(e: Handle) {
        let mut s = state();
        s.context()?;
        let e = s.event(h(e))?;
        if e.capture.is_some() {
            return Err(code::CAPTURED_EVENT);
        }
        let waits = e.never || e.after.is_some_and(|t| std::time::Instant::now() < t);
        if waits { Err(code::NOT_READY) } else { Ok(()) }
    }
    fn cuEventSynchronize(e: Handle) {
        let (never, after) = {
            let mut s = state();
            s.context()?;
            let e = s.event(h(e))?;
            if e.capture.is_some() {
                return Err(code::CAPTURED_EVENT);
            }
            (e.never, e.after)
        };
        if never {
            return wait_idle();
        }
        if let Some(left) = after.and_then(|t| t.checked_duration_since(std::time::Instant::now())) {
            std::thread::sleep(left);
        }
        Ok(())
    }
    fn cuEventElapsedTime(ms: *mut f32, a: Handle, b: Handle) { elapsed(ms, a, b) }
    fn cuEventElapsedTime_v2(ms: *mut f32, a: Handle, b: Handle) { elapsed(ms, a, b) }
}
