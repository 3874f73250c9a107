//! Allocations.

use super::*;

fn host_alloc(pp: *mut *mut c_void, len: usize) -> Res {
    let mut s = state();
    s.context()?;
    if pp.is_null() || len == 0 {
        return Err(code::INVALID_VALUE);
    }
    if len > 1 << 34 {
        return Err(code::OUT_OF_MEMORY);
    }
    let a = s.dev.memory.alloc_host(len as u64);
    s.host.insert(a as usize);
    out(pp, a as *mut c_void)
}

api! {
    fn cuMemAlloc_v2(ptr: *mut DevPtr, len: usize) {
        let mut s = state();
        s.context()?;
        let a = s.alloc(len)?;
        out(ptr, a)
    }
    fn cuMemAllocAsync(ptr: *mut DevPtr, len: usize, stream: Handle) {
        let mut s = state();
        s.context()?;
        if s.capture_of(h(stream))?.is_some() {
            return Err(code::NOT_SUPPORTED);
        }
        let a = s.alloc(len)?;
        out(ptr, a)
    }
    fn cuMemAllocFromPoolAsync(ptr: *mut DevPtr, len: usize, pool: Handle, stream: Handle) {
        let mut s = state();
        s.context()?;
        if !matches!(s.objects.get(&h(pool)), Some(Object::Pool)) {
            return Err(code::INVALID_VALUE);
        }
        if s.capture_of(h(stream))?.is_some() {
            return Err(code::NOT_SUPPORTED);
        }
        let a = s.alloc(len)?;
        out(ptr, a)
    }
    fn cuMemAllocManaged(_ptr: *mut DevPtr, _len: usize, _flags: c_uint) {
        state().context()?;
        Err(code::NOT_SUPPORTED)
    }
    fn cuMemAdvise_v2(_ptr: DevPtr, _len: usize, _advice: c_int, _location: u64) { Err(code::NOT_SUPPORTED) }
    fn cuMemPrefetchAsync_v2(_ptr: DevPtr, _len: usize, _location: u64, _flags: c_uint, _stream: Handle) { Err(code::NOT_SUPPORTED) }
    fn cuStreamAttachMemAsync(_stream: Handle, _ptr: DevPtr, _len: usize, _flags: c_uint) { Err(code::NOT_SUPPORTED) }
    fn cuImportExternalMemory(_out: *mut Handle, _desc: *const c_void) { Err(code::NOT_SUPPORTED) }
    fn cuExternalMemoryGetMappedBuffer(_ptr: *mut DevPtr, _mem: Handle, _desc: *const c_void) { Err(code::NOT_SUPPORTED) }
    fn cuDestroyExternalMemory(_mem: Handle) { Err(code::INVALID_HANDLE) }
    fn cuMemFree_v2(ptr: DevPtr) {
        if ptr == 0 {
            return Ok(());
        }
        wait_idle()?;
        let mut s = state();
        s.context()?;
        s.dev.memory.free(ptr).map_err(|_| code::INVALID_VALUE)
    }
    fn cuMemFreeAsync(ptr: DevPtr, stream: Handle) { later(stream, Node::Free { ptr }) }
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let s = state();
        s.context()?;
        let (t, f) = s.dev.memory.info();
        out(free, f as usize)?;
        out(total, t as usize)
    }
    fn cuMemGetAddressRange_v2(base: *mut DevPtr, size: *mut usize, ptr: DevPtr) {
        let s = state();
        s.context()?;
        let (b, n) = s.dev.memory.allocation(ptr).ok_or(code::NOT_FOUND)?;
        out_opt(base, b);
        out_opt(size, n as usize);
        Ok(())
    }
    fn cuPointerGetAttribute(data: *mut c_void, attribute: c_int, ptr: DevPtr) {
        let s = state();
        s.context()?;
        let (b, n) = s.dev.memory.allocation(ptr).ok_or(code::INVALID_VALUE)?;
        match attribute {
            1 => out(data.cast(), CURRENT.with(Cell::get)),
            2 => out(data.cast(), 2u32),
            3 => out(data.cast(), ptr),
            9 => out(data.cast(), 0i32),
            11 => out(data.cast(), b),
            12 => out(data.cast(), n as usize),
            _ => Err(code::NOT_SUPPORTED),
        }
    }
    fn cuMemHostAlloc(pp: *mut *mut c_void, len: usize, _flags: c_uint) { host_alloc(pp, len) }
    fn cuMemAllocHost_v2(pp: *mut *mut c_void, len: usize) { host_alloc(pp, len) }
    fn cuMemFreeHost(ptr: *mut c_void) {
        let mut s = state();
        s.usable()?;
        if !s.host.remove(&(ptr as usize)) {
            return Err(code::INVALID_VALUE);
        }
        s.dev.memory.free_host(ptr as u64).map_err(|_| code::INVALID_VALUE)
    }
    fn cuMemHostGetDevicePointer_v2(ptr: *mut DevPtr, host: *mut c_void, _flags: c_uint) {
        let s = state();
        s.context()?;
        // Host and device share addresses, as under unified addressing.
        match s.dev.memory.allocation(host as u64) {
            Some(_) => out(ptr, host as u64),
            None => Err(code::INVALID_VALUE),
        }
    }
    fn cuCtxResetPersistingL2Cache() { state().context() }
    fn cuMemHostRegister_v2(ptr: *mut c_void, len: usize, _flags: c_uint) {
        state().context()?;
        null_ok(ptr, len)
    }
    fn cuMemHostUnregister(_ptr: *mut c_void) { state().context() }
    fn cuMemPoolCreate(pool: *mut Handle, _props: *const c_void) {
        let mut s = state();
        s.usable()?;
        let id = s.add(Object::Pool);
        out(pool, p(id))
    }
    fn cuMemPoolDestroy(pool: Handle) { remove(pool, |o| matches!(o, Object::Pool)) }
    fn cuMemPoolTrimTo(_pool: Handle, _keep: usize) { state().usable() }
    fn cuMemPoolSetAttribute(_pool: Handle, _attr: c_int, _value: *mut c_void) { state().usable() }
    fn cuMemPoolGetAttribute(_pool: Handle, attr: c_int, value: *mut c_void) {
        let s = state();
        s.usable()?;
        let (t, f) = s.dev.memory.info();
        match attr {
            1..=3 => out(value.cast(), 1i32),
            4 => out(value.cast(), 0u64),
            5..=8 => out(value.cast(), t - f),
            _ => Err(code::INVALID_VALUE),
        }
    }
}
