//! Contexts.

use super::*;

fn new_context(pctx: *mut Handle) -> Res {
    let mut s = state();
    s.usable()?;
    let id = s.add(Object::Context);
    CURRENT.with(|c| c.set(id));
    out(pctx, p(id))
}

api! {
    fn cuDevicePrimaryCtxRetain(pctx: *mut Handle, d: c_int) {
        device(d)?;
        let mut s = state();
        if s.primary_refs == 0 {
            s.primary = s.add(Object::Context);
        }
        s.primary_refs += 1;
        out(pctx, p(s.primary))
    }
    fn cuDevicePrimaryCtxRelease_v2(d: c_int) {
        device(d)?;
        let mut s = state();
        if s.primary_refs == 0 {
            return Err(code::INVALID_CONTEXT);
        }
        s.primary_refs -= 1;
        if s.primary_refs == 0 {
            let id = s.primary;
            s.objects.retain(|k, o| matches!(o, Object::Context | Object::Pool) && *k != id);
            s.captures.clear();
            s.clear_memory();
        }
        Ok(())
    }
    fn cuDevicePrimaryCtxReset_v2(d: c_int) {
        device(d)?;
        let mut s = state();
        s.clear_memory();
        s.objects.retain(|_, o| matches!(o, Object::Context | Object::Pool));
        Ok(())
    }
    fn cuDevicePrimaryCtxGetState(d: c_int, flags: *mut c_uint, active: *mut c_int) {
        device(d)?;
        out(flags, 0)?;
        out(active, c_int::from(state().primary_refs > 0))
    }
    fn cuDevicePrimaryCtxSetFlags_v2(d: c_int, _flags: c_uint) { device(d) }
    fn cuCtxCreate_v3(pctx: *mut Handle, _params: *mut c_void, _n: c_int, _flags: c_uint, d: c_int) {
        device(d)?;
        new_context(pctx)
    }
    fn cuCtxCreate_v4(pctx: *mut Handle, _params: *mut c_void, _flags: c_uint, d: c_int) {
        device(d)?;
        new_context(pctx)
    }
    fn cuCtxDestroy_v2(c: Handle) {
        remove(c, |o| matches!(o, Object::Context))?;
        CURRENT.with(|x| if x.get() == h(c) { x.set(0) });
        Ok(())
    }
    fn cuCtxGetCurrent(pctx: *mut Handle) {
        state().usable()?;
        out(pctx, p(CURRENT.with(Cell::get)))
    }
    fn cuCtxSetCurrent(c: Handle) {
        let s = state();
        s.usable()?;
        if !c.is_null() && !matches!(s.objects.get(&h(c)), Some(Object::Context)) {
            return Err(code::INVALID_CONTEXT);
        }
        CURRENT.with(|x| x.set(h(c)));
        Ok(())
    }
    fn cuCtxPushCurrent_v2(c: Handle) {
        let s = state();
        s.usable()?;
        if !matches!(s.objects.get(&h(c)), Some(Object::Context)) {
            return Err(code::INVALID_CONTEXT);
        }
        CURRENT.with(|x| x.set(h(c)));
        Ok(())
    }
    fn cuCtxPopCurrent_v2(pctx: *mut Handle) {
        state().usable()?;
        out_opt(pctx, p(CURRENT.with(|x| x.replace(0))));
        Ok(())
    }
    fn cuCtxGetDevice(d: *mut c_int) {
        state().context()?;
        out(d, 0)
    }
    fn cuCtxGetApiVersion(_c: Handle, v: *mut c_uint) { out(v, state().cfg.driver_version as c_uint) }
    fn cuCtxGetId(c: Handle, id: *mut u64) { out(id, h(c) as u64) }
    fn cuCtxGetFlags(flags: *mut c_uint) {
        state().context()?;
        out(flags, 0)
    }
    fn cuCtxSetFlags(_flags: c_uint) { state().context() }
    fn cuCtxGetCacheConfig(c: *mut c_uint) {
        let s = state();
        s.context()?;
        out(c, s.cache_config)
    }
    fn cuCtxSetCacheConfig(c: c_uint) {
        let mut s = state();
        s.context()?;
        s.cache_config = c;
        Ok(())
    }
    fn cuCtxGetLimit(v: *mut usize, limit: c_uint) {
        state().context()?;
        out(v, match limit {
            0 => 1024,
            1 => 1 << 20,
            2 => 8 << 20,
            _ => 0,
        })
    }
    fn cuCtxSetLimit(_limit: c_uint, _v: usize) { state().context() }
    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        state().context()?;
        out_opt(least, 0);
        out_opt(greatest, -5);
        Ok(())
    }
    fn cuCtxSynchronize() { wait_idle() }
    fn cuProfilerStart() { state().context() }
    fn cuProfilerStop() { state().context() }
}
