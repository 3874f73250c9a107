//! The exported functions, one for each that a program resolves by name.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use super::{CURRENT, Event, Function, Node, Object, Res, Stream, code, state, wait_idle};
use crate::{Dim3, Module};

type Handle = *mut c_void;
type DevPtr = u64;

fn h(p: Handle) -> usize {
    p as usize
}
fn p(h: usize) -> Handle {
    h as Handle
}

/// Writes a result.
fn out<T>(to: *mut T, v: T) -> Res {
    if to.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the interface requires a pointer to a writable `T`; null was excluded. Alignment is not relied upon.
    unsafe { to.write_unaligned(v) };
    Ok(())
}
/// Writes a result that the caller may not want.
fn out_opt<T>(to: *mut T, v: T) {
    if !to.is_null() {
        let _ = out(to, v);
    }
}
fn text<'a>(s: *const c_char) -> Res<&'a str> {
    if s.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the interface requires a string that ends with a zero; it is used during the call only.
    unsafe { CStr::from_ptr(s) }.to_str().map_err(|_| code::INVALID_VALUE)
}
fn write_text(to: *mut c_char, len: c_int, s: &str) -> Res {
    let len = usize::try_from(len).map_err(|_| code::INVALID_VALUE)?;
    if to.is_null() || len == 0 {
        return Err(code::INVALID_VALUE);
    }
    let n = s.len().min(len - 1);
    // SAFETY: the caller gives room for `len` bytes; at most `len - 1` and a zero are written.
    unsafe {
        std::ptr::copy_nonoverlapping(s.as_ptr(), to.cast(), n);
        to.add(n).write(0);
    }
    Ok(())
}
fn guard(f: impl FnOnce() -> Res) -> u32 {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(Ok(())) => 0,
        Ok(Err(e)) => e,
        Err(_) => code::UNKNOWN,
    }
}
fn device(d: c_int) -> Res {
    state().usable()?;
    if d == 0 { Ok(()) } else { Err(code::INVALID_DEVICE) }
}
fn dims(g: [c_uint; 3]) -> Dim3 {
    Dim3::new(g[0], g[1], g[2])
}

macro_rules! api {
    ($(fn $name:ident($($a:ident: $t:ty),* $(,)?) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($a: $t),*) -> u32 {
                guard(|| $body)
            }
        )*
        /// Every exported function by name.
        fn by_name(name: &str) -> Option<*mut c_void> {
            match name {
                $(stringify!($name) => Some($name as *mut c_void),)*
                _ => None,
            }
        }
    };
}

// ---- helpers that several functions share

fn load(module: *mut Handle, image: *const c_void) -> Result<(), (u32, String)> {
    let plain = |c: u32| (c, String::new());
    if image.is_null() || module.is_null() {
        return Err(plain(code::INVALID_VALUE));
    }
    // SAFETY: an image is at least four bytes long: a header or PTX text.
    let head = unsafe { image.cast::<[u8; 4]>().read_unaligned() };
    if head == *b"\x7fELF" || head == [0x50, 0xed, 0x55, 0xba] {
        return Err((code::NO_BINARY_FOR_GPU, "machine code cannot be run, PTX can".into()));
    }
    // SAFETY: an image that is no binary is text that ends with a zero.
    let Ok(ptx) = unsafe { CStr::from_ptr(image.cast()) }.to_str() else {
        return Err(plain(code::INVALID_IMAGE));
    };
    if !ptx.contains(".version") {
        return Err(plain(code::INVALID_IMAGE));
    }
    let mut s = state();
    s.context().map_err(plain)?;
    let m = match Module::load(ptx) {
        Ok(m) => m,
        Err(e) => {
            eprintln!("gpu-emulator: PTX refused: {e}");
            return Err((code::INVALID_PTX, e.to_string()));
        }
    };
    let have = (s.cfg.cc.0 * 10 + s.cfg.cc.1) as u32;
    let target = m.target().trim_start_matches("sm_");
    let specific = target.ends_with(['a', 'f']);
    let needs: u32 = target.trim_end_matches(['a', 'f']).parse().unwrap_or(0);
    if needs > have || (specific && needs != have) {
        return Err((code::INVALID_PTX, format!("the PTX is for {}, the device is sm_{have}", m.target())));
    }
    s.dev.attach(&m);
    let id = s.add(Object::Module(m));
    out(module, p(id)).map_err(plain)
}

fn parameters(f: usize, args: *mut *mut c_void, extra: *mut *mut c_void) -> Res<Vec<u8>> {
    let s = state();
    let e = &s.function(f)?.entry;
    let mut buf = vec![0u8; e.param_bytes()];
    if !args.is_null() {
        for (i, (off, size)) in e.params().iter().enumerate() {
            // SAFETY: the array has one pointer for each parameter of the kernel.
            let a = unsafe { *args.add(i) };
            if a.is_null() {
                return Err(code::INVALID_VALUE);
            }
            // SAFETY: each pointer leads to an object of its parameter's size.
            unsafe { std::ptr::copy_nonoverlapping(a.cast::<u8>(), buf[*off as usize..].as_mut_ptr(), *size as usize) };
        }
    } else if !extra.is_null() {
        let (mut data, mut len) = (std::ptr::null::<u8>(), 0usize);
        let mut i = 0;
        loop {
            // SAFETY: the list is pairs of a tag and a value, ended by the tag zero.
            let tag = unsafe { *extra.add(i) } as usize;
            if tag == 0 {
                break;
            }
            // SAFETY: as above.
            let v = unsafe { *extra.add(i + 1) };
            match tag {
                1 => data = v.cast(),
                // SAFETY: the value of this tag is a pointer to a size.
                2 => len = unsafe { v.cast::<usize>().read_unaligned() },
                _ => return Err(code::INVALID_VALUE),
            }
            i += 2;
        }
        if data.is_null() || len < buf.len() {
            return Err(code::INVALID_VALUE);
        }
        // SAFETY: the caller says that `len` bytes lie at `data`, and `len` covers the buffer.
        unsafe { std::ptr::copy_nonoverlapping(data, buf.as_mut_ptr(), buf.len()) };
    } else if !buf.is_empty() {
        return Err(code::INVALID_VALUE);
    }
    Ok(buf)
}

#[allow(clippy::too_many_arguments)]
fn launch(
    f: Handle,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    cluster: Option<Dim3>,
    cooperative: bool,
    shared: c_uint,
    stream: Handle,
    args: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Res {
    state().context()?;
    let params = parameters(h(f), args, extra)?;
    if cooperative {
        // All blocks have to be on the device at once.
        let threads = block.iter().fold(1u32, |n, x| n.saturating_mul(*x));
        let per = blocks_per_sm(f, c_int::try_from(threads).unwrap_or(0), shared as usize)?;
        let room = u64::from(state().cfg.sms) * per as u64;
        if threads <= 1024 && grid.iter().fold(1u64, |n, x| n.saturating_mul(u64::from(*x))) > room {
            return Err(code::COOPERATIVE_LAUNCH_TOO_LARGE);
        }
    }
    let mut s = state();
    let limit = s.function(h(f))?.max_dynamic;
    let threads = block.iter().map(|x| u64::from(*x)).product::<u64>();
    if shared > limit
        || grid.contains(&0)
        || threads == 0
        || threads > 1024
        || grid[1] > 65535
        || grid[2] > 65535
        || block[2] > 64
    {
        return Err(code::INVALID_VALUE);
    }
    let entry = &s.function(h(f))?.entry;
    if entry.max_threads().is_some_and(|m| threads > u64::from(m)) || entry.block().is_some_and(|b| b != dims(block)) {
        return Err(code::INVALID_VALUE);
    }
    let c = cluster_of(&s, h(f), cluster)?;
    if (0..3).any(|d| !grid[d].is_multiple_of(c[d])) {
        return Err(code::INVALID_CLUSTER_SIZE);
    }
    s.enqueue(
        h(stream),
        Node::Launch { f: h(f), grid: dims(grid), block: dims(block), cluster, shared, params, cooperative },
    )
}

/// A copy whose direction its addresses tell.
fn copy_node(s: &super::State, dst: u64, src: u64, len: usize) -> Node {
    let dev = |a: u64| s.dev.memory.allocation(a).is_some();
    match (dev(dst), dev(src)) {
        (true, true) => Node::OnDevice { dst, src, len },
        (true, false) => Node::ToDevice { dst, src: src as usize, len },
        (false, true) => Node::ToHost { dst: dst as usize, src, len },
        (false, false) => Node::HostToHost { dst: dst as usize, src: src as usize, len },
    }
}

/// Enqueues on a stream.
fn later(stream: Handle, n: Node) -> Res {
    let mut s = state();
    s.context()?;
    s.enqueue(h(stream), n)
}
/// Runs at once, after what was enqueued before.
fn now(n: Node) -> Res {
    wait_idle()?;
    let mut s = state();
    s.context()?;
    s.execute(&n)
}
fn null_ok(ptr: *const c_void, len: usize) -> Res {
    if ptr.is_null() && len != 0 { Err(code::INVALID_VALUE) } else { Ok(()) }
}
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
fn blocks_per_sm(f: Handle, threads: c_int, dynamic: usize) -> Res<c_int> {
    let s = state();
    s.usable()?;
    let f = s.function(h(f))?;
    if threads <= 0 || threads > 1024 || f.entry.max_threads().is_some_and(|m| threads as u32 > m) {
        return Ok(0);
    }
    let warps = (threads as u32).div_ceil(32);
    let shared = u64::from(f.entry.static_shared()) + dynamic as u64;
    if shared > u64::from(s.cfg.shared_optin()) {
        return Ok(0);
    }
    let by_shared = u64::from(s.cfg.shared_sm()) / (shared + 1024);
    Ok((64 / warps).min(32).min(by_shared as u32) as c_int)
}
/// A launch configuration with the cluster and whether the launch is cooperative.
fn configuration<'c>(config: *const LaunchConfig) -> Res<(&'c LaunchConfig, Option<Dim3>, bool)> {
    if config.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the interface requires a pointer to a launch configuration; null was excluded.
    let c = unsafe { &*config };
    if c.attrs.is_null() && c.num_attrs != 0 {
        return Err(code::INVALID_VALUE);
    }
    let (mut cluster, mut cooperative) = (None, false);
    for i in 0..c.num_attrs as usize {
        // SAFETY: the array has `num_attrs` elements.
        let a = unsafe { &*c.attrs.add(i) };
        match a.id {
            4 => cluster = Some(dims([a.value[0], a.value[1], a.value[2]])),
            2 => cooperative = a.value[0] != 0,
            _ => {}
        }
    }
    Ok((c, cluster, cooperative))
}
/// The clusters that the device can have at once: any that can be launched can be had.
fn active_clusters(f: Handle, config: *const LaunchConfig) -> Res<c_int> {
    let (c, cluster, _) = configuration(config)?;
    let threads = c.block.iter().fold(1u32, |n, x| n.saturating_mul(*x));
    let per = blocks_per_sm(f, c_int::try_from(threads).unwrap_or(0), c.shared as usize)?;
    let s = state();
    let blocks = cluster_of(&s, h(f), cluster)?.iter().product::<u32>();
    Ok(if per == 0 { 0 } else { (s.cfg.sms.saturating_mul(per as u32) / blocks).max(1) as c_int })
}
/// The blocks of the largest cluster: eight, or sixteen where the kernel may have a size that not every device has.
fn potential_cluster(f: Handle, config: *const LaunchConfig) -> Res<c_int> {
    let (c, ..) = configuration(config)?;
    let threads = c.block.iter().fold(1u32, |n, x| n.saturating_mul(*x));
    let per = blocks_per_sm(f, c_int::try_from(threads).unwrap_or(0), c.shared as usize)?;
    let s = state();
    Ok(if per == 0 { 0 } else { largest_cluster(&s, s.function(h(f))?) as c_int })
}
/// Every device with clusters can have eight blocks in one; the one that is emulated sixteen, where the function says that it may.
fn largest_cluster(s: &super::State, f: &super::Function) -> u32 {
    match (s.cfg.cc.0 >= 9, f.any_cluster) {
        (false, _) => 1,
        (true, false) => 8,
        (true, true) => 16,
    }
}
/// The blocks of the clusters of a launch, where there can be such.
fn cluster_of(s: &super::State, f: usize, asked: Option<Dim3>) -> Res<[u32; 3]> {
    let f = s.function(f)?;
    let c = f.entry.cluster_for(asked).map_err(|_| code::INVALID_CLUSTER_SIZE)?;
    let c = [c.x, c.y, c.z];
    if c.iter().product::<u32>() > largest_cluster(s, f) { Err(code::INVALID_CLUSTER_SIZE) } else { Ok(c) }
}
fn stream_new(ph: *mut Handle, flags: c_uint, priority: c_int) -> Res {
    let mut s = state();
    s.context()?;
    let id = s.add(Object::Stream(Stream { flags, priority, ..Stream::default() }));
    out(ph, p(id))
}
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
fn new_context(pctx: *mut Handle) -> Res {
    let mut s = state();
    s.usable()?;
    let id = s.add(Object::Context);
    CURRENT.with(|c| c.set(id));
    out(pctx, p(id))
}
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
fn remove(handle: Handle, is: fn(&Object) -> bool) -> Res {
    let mut s = state();
    s.usable()?;
    match s.objects.get(&h(handle)) {
        Some(o) if is(o) => {
            s.objects.remove(&h(handle));
            Ok(())
        }
        _ => Err(code::INVALID_HANDLE),
    }
}
fn error_text(e: u32, to: *mut *const c_char, description: bool) -> Res {
    match code::ALL.iter().find(|x| x.0 == e) {
        Some(x) => out(to, if description { x.2.as_ptr() } else { x.1.as_ptr() }),
        None => {
            out_opt(to, std::ptr::null());
            Err(code::INVALID_VALUE)
        }
    }
}
const UUID: [u8; 16] = *b"gpu-emulator-000";
const BUS_ID: &str = "0000:00:00.0";

#[repr(C)]
struct LaunchConfig {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    stream: Handle,
    attrs: *const LaunchAttribute,
    num_attrs: c_uint,
}
#[repr(C, align(8))]
struct LaunchAttribute {
    id: u32,
    pad: [u8; 4],
    value: [u32; 16],
}

fn attribute(s: &super::State, a: c_int) -> Option<c_int> {
    Some(match a {
        1..=3 => {
            if a == 3 {
                64
            } else {
                1024
            }
        }
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65535,
        8 => 48 << 10,
        9 => 64 << 10,
        10 => 32,
        11 => i32::MAX,
        12 | 82 => 65536,
        13 => 1_000_000,
        14 => 512,
        15 => 1,
        16 => s.cfg.sms as c_int,
        17 | 18 => 0,
        19 => 1,
        20 => 0,
        30 => 512,
        31 => 1,
        32 => 0,
        33..=35 => 0,
        36 => 1_000_000,
        37 => 5120,
        38 => s.cfg.l2,
        39 => 2048,
        40 => 1,
        41 => 1,
        50 => 0,
        51 => 32,
        75 => s.cfg.cc.0,
        76 => s.cfg.cc.1,
        78 => 1,
        79 | 80 => 1,
        81 => s.cfg.shared_sm() as c_int,
        83 => 0,
        84..=86 => 0,
        87 => 2,
        88 | 89 => 0,
        90 => 1,
        91..=94 => 0,
        95 => 1,
        96 => 0,
        97 => s.cfg.shared_optin() as c_int,
        98..=102 => 0,
        106 => 32,
        107 => 0,
        108 | 109 => 0,
        110 => 0,
        111 => 1024,
        115 => 1,
        120 => 0,
        21..=29 | 42..=49 | 52..=74 | 77 | 103..=105 | 112..=114 | 116..=119 | 121..=160 => 0,
        _ => return None,
    })
}

api! {
    // ---- start, version, errors

    fn cuInit(_flags: c_uint) {
        let mut s = state();
        if s.cfg.stub {
            return Err(code::STUB_LIBRARY);
        }
        if s.cfg.no_device {
            return Err(code::NO_DEVICE);
        }
        s.ready = true;
        Ok(())
    }
    fn cuDriverGetVersion(v: *mut c_int) { out(v, state().cfg.driver_version) }
    fn cuGetErrorName(e: u32, to: *mut *const c_char) { error_text(e, to, false) }
    fn cuGetErrorString(e: u32, to: *mut *const c_char) { error_text(e, to, true) }
    fn cuGetProcAddress_v2(name: *const c_char, pfn: *mut *mut c_void, _version: c_int, _flags: u64, status: *mut c_int) {
        let name = text(name)?;
        let found = ["_v2", "", "_v3", "_v4"].iter().find_map(|s| by_name(&format!("{name}{s}")));
        out_opt(status, c_int::from(found.is_none()));
        out(pfn, found.unwrap_or(std::ptr::null_mut()))?;
        if found.is_some() { Ok(()) } else { Err(code::NOT_FOUND) }
    }

    // ---- devices

    fn cuDeviceGetCount(n: *mut c_int) {
        state().usable()?;
        out(n, 1)
    }
    fn cuDeviceGet(d: *mut c_int, ordinal: c_int) {
        device(ordinal)?;
        out(d, 0)
    }
    fn cuDeviceGetName(name: *mut c_char, len: c_int, d: c_int) {
        device(d)?;
        write_text(name, len, "gpu-emulator (software)")
    }
    fn cuDeviceGetUuid(uuid: *mut [u8; 16], d: c_int) {
        device(d)?;
        out(uuid, UUID)
    }
    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], d: c_int) {
        device(d)?;
        out(uuid, UUID)
    }
    fn cuDeviceTotalMem_v2(bytes: *mut usize, d: c_int) {
        device(d)?;
        out(bytes, state().cfg.memory as usize)
    }
    fn cuDeviceGetAttribute(v: *mut c_int, a: c_int, d: c_int) {
        device(d)?;
        let x = attribute(&state(), a).ok_or(code::INVALID_VALUE)?;
        out(v, x)
    }
    fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, d: c_int) {
        device(d)?;
        let cc = state().cfg.cc;
        out(major, cc.0)?;
        out(minor, cc.1)
    }
    fn cuDeviceGetPCIBusId(id: *mut c_char, len: c_int, d: c_int) {
        device(d)?;
        write_text(id, len, BUS_ID)
    }
    fn cuDeviceGetByPCIBusId(d: *mut c_int, id: *const c_char) {
        state().usable()?;
        if text(id)? == BUS_ID { out(d, 0) } else { Err(code::INVALID_DEVICE) }
    }
    fn cuDeviceCanAccessPeer(yes: *mut c_int, d: c_int, peer: c_int) {
        device(d)?;
        device(peer)?;
        out(yes, 0)
    }
    fn cuDeviceGetDefaultMemPool(pool: *mut Handle, d: c_int) {
        device(d)?;
        let mut s = state();
        if s.pool == 0 {
            s.pool = s.add(Object::Pool);
        }
        out(pool, p(s.pool))
    }
    fn cuDeviceGetMemPool(pool: *mut Handle, d: c_int) {
        device(d)?;
        let mut s = state();
        if s.pool == 0 {
            s.pool = s.add(Object::Pool);
        }
        out(pool, p(s.pool))
    }
    fn cuDeviceSetMemPool(d: c_int, pool: Handle) {
        device(d)?;
        let mut s = state();
        if !matches!(s.objects.get(&h(pool)), Some(Object::Pool)) {
            return Err(code::INVALID_VALUE);
        }
        s.pool = h(pool);
        Ok(())
    }

    // ---- contexts

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

    // ---- memory

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

    // ---- copies and fills

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

    // ---- modules and functions

    fn cuModuleLoadData(module: *mut Handle, image: *const c_void) { load(module, image).map_err(|e| e.0) }
    fn cuModuleLoadFatBinary(module: *mut Handle, image: *const c_void) { load(module, image).map_err(|e| e.0) }
    fn cuModuleLoadDataEx(module: *mut Handle, image: *const c_void, n: c_uint, options: *mut c_uint, values: *mut *mut c_void) {
        load(module, image).map_err(|(e, msg)| {
            let (mut buf, mut size) = (std::ptr::null_mut::<c_char>(), 0usize);
            for i in 0..n as usize {
                // SAFETY: both arrays have `n` elements.
                let (o, v) = unsafe { (*options.add(i), *values.add(i)) };
                match o {
                    5 => buf = v.cast(),
                    6 => size = v as usize,
                    _ => {}
                }
            }
            if !buf.is_null() && size > 0 {
                let _ = write_text(buf, size.min(1 << 20) as c_int, &msg);
            }
            e
        })
    }
    fn cuModuleLoad(module: *mut Handle, name: *const c_char) {
        state().context()?;
        let mut bytes = std::fs::read(text(name)?).map_err(|_| code::FILE_NOT_FOUND)?;
        bytes.extend([0; 4]);
        load(module, bytes.as_ptr().cast()).map_err(|e| e.0)
    }
    fn cuModuleUnload(module: Handle) {
        let mut s = state();
        s.usable()?;
        let Some(Object::Module(m)) = s.objects.get(&h(module)) else { return Err(code::INVALID_HANDLE) };
        let m = m.clone();
        s.dev.detach(&m);
        s.objects.remove(&h(module));
        s.objects.retain(|_, o| !matches!(o, Object::Function(f) if f.module == h(module)));
        Ok(())
    }
    fn cuModuleGetFunction(f: *mut Handle, module: Handle, name: *const c_char) {
        let mut s = state();
        s.context()?;
        let name = text(name)?;
        let Some(Object::Module(m)) = s.objects.get(&h(module)) else { return Err(code::INVALID_HANDLE) };
        let entry = m.entry(name).ok_or(code::NOT_FOUND)?.clone();
        let max_dynamic = (48u32 << 10).saturating_sub(entry.static_shared());
        let name = CString::new(name).map_err(|_| code::INVALID_VALUE)?;
        let id = s.add(Object::Function(Function { entry, module: h(module), name, max_dynamic, any_cluster: false }));
        out(f, p(id))
    }
    fn cuModuleGetGlobal_v2(ptr: *mut DevPtr, size: *mut usize, module: Handle, name: *const c_char) {
        let s = state();
        s.context()?;
        let Some(Object::Module(m)) = s.objects.get(&h(module)) else { return Err(code::INVALID_HANDLE) };
        let (a, n) = m.global(text(name)?).ok_or(code::NOT_FOUND)?;
        out_opt(ptr, a);
        out_opt(size, n as usize);
        Ok(())
    }
    fn cuModuleGetLoadingMode(mode: *mut c_int) { out(mode, 1) }
    fn cuFuncGetName(name: *mut *const c_char, f: Handle) {
        let s = state();
        let f = s.function(h(f))?;
        out(name, f.name.as_ptr())
    }
    fn cuFuncGetModule(module: *mut Handle, f: Handle) {
        let s = state();
        out(module, p(s.function(h(f))?.module))
    }
    fn cuFuncLoad(f: Handle) { state().function(h(f)).map(|_| ()) }
    fn cuFuncGetAttribute(v: *mut c_int, attr: c_int, f: Handle) {
        let s = state();
        s.context()?;
        let f = s.function(h(f))?;
        out(v, match attr {
            0 => f.entry.max_threads().unwrap_or(1024).min(1024) as c_int,
            1 => f.entry.static_shared() as c_int,
            2 => 0,
            3 => f.entry.local_bytes() as c_int,
            4 => 32,
            5 => 90,
            6 => s.cfg.cc.0 * 10 + s.cfg.cc.1,
            7 => 0,
            8 => f.max_dynamic as c_int,
            14 => c_int::from(f.any_cluster),
            9..=13 | 15 => 0,
            _ => return Err(code::INVALID_VALUE),
        })
    }
    fn cuFuncSetAttribute(f: Handle, attr: c_int, v: c_int) {
        let mut s = state();
        s.context()?;
        let limit = s.cfg.shared_optin();
        let Some(Object::Function(f)) = s.objects.get_mut(&h(f)) else { return Err(code::INVALID_HANDLE) };
        match attr {
            8 => {
                let v = u32::try_from(v).map_err(|_| code::INVALID_VALUE)?;
                if v.saturating_add(f.entry.static_shared()) > limit {
                    return Err(code::INVALID_VALUE);
                }
                f.max_dynamic = v;
                Ok(())
            }
            14 => {
                f.any_cluster = v != 0;
                Ok(())
            }
            9 | 15 => Ok(()),
            _ => Err(code::INVALID_VALUE),
        }
    }
    fn cuFuncSetCacheConfig(f: Handle, _c: c_uint) { state().function(h(f)).map(|_| ()) }
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(n: *mut c_int, f: Handle, threads: c_int, dynamic: usize) { out(n, blocks_per_sm(f, threads, dynamic)?) }
    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(n: *mut c_int, f: Handle, threads: c_int, dynamic: usize, _flags: c_uint) { out(n, blocks_per_sm(f, threads, dynamic)?) }
    fn cuOccupancyAvailableDynamicSMemPerBlock(size: *mut usize, f: Handle, blocks: c_int, _threads: c_int) {
        let s = state();
        let f = s.function(h(f))?;
        if blocks <= 0 {
            return Err(code::INVALID_VALUE);
        }
        let per = (s.cfg.shared_sm() / blocks as u32).saturating_sub(1024).min(s.cfg.shared_optin());
        out(size, per.saturating_sub(f.entry.static_shared()) as usize)
    }
    fn cuOccupancyMaxPotentialBlockSize(grid: *mut c_int, block: *mut c_int, f: Handle, b2d: Option<unsafe extern "C" fn(c_int) -> usize>, dynamic: usize, limit: c_int) {
        potential(grid, block, f, b2d, dynamic, limit)
    }
    fn cuOccupancyMaxPotentialBlockSizeWithFlags(grid: *mut c_int, block: *mut c_int, f: Handle, b2d: Option<unsafe extern "C" fn(c_int) -> usize>, dynamic: usize, limit: c_int, _flags: c_uint) {
        potential(grid, block, f, b2d, dynamic, limit)
    }
    fn cuOccupancyMaxActiveClusters(n: *mut c_int, f: Handle, config: *const LaunchConfig) { out(n, active_clusters(f, config)?) }
    fn cuOccupancyMaxPotentialClusterSize(n: *mut c_int, f: Handle, config: *const LaunchConfig) { out(n, potential_cluster(f, config)?) }
    fn cuTensorMapEncodeTiled(map: *mut c_void, ty: c_int, rank: u32, addr: u64, dims: *const u64, strides: *const u64, boxes: *const u32, steps: *const u32, interleave: c_int, swizzle: c_int, _l2: c_int, fill: c_int) {
        state().usable()?;
        let elem = match ty {
            0 => 1,
            1 | 6 | 9 => 2,
            2 | 3 | 7 | 10..=12 => 4,
            4 | 5 | 8 => 8,
            _ => return Err(code::INVALID_VALUE),
        };
        let r = rank as usize;
        if !(1..=5).contains(&r) || dims.is_null() || boxes.is_null() || steps.is_null() || (strides.is_null() && r > 1) || !(0..=3).contains(&swizzle) || !(0..=1).contains(&fill) {
            return Err(code::INVALID_VALUE);
        }
        // SAFETY: the arrays have `rank` elements, that of the strides one less; null was excluded.
        let (d, b, e, st) = unsafe {
            let st = if r > 1 { std::slice::from_raw_parts(strides, r - 1) } else { &[] };
            (std::slice::from_raw_parts(dims, r), std::slice::from_raw_parts(boxes, r), std::slice::from_raw_parts(steps, r), st)
        };
        if interleave != 0 || e.iter().any(|x| *x != 1) {
            return Err(code::NOT_SUPPORTED);
        }
        let t = crate::TensorMap { elem, swizzle: [0, 32, 64, 128][swizzle as usize], nan_fill: fill == 1, addr, dims: d.to_vec(), strides: st.to_vec(), boxes: b.to_vec() };
        let bytes = t.encode_typed(ty as u8).ok_or(code::INVALID_VALUE)?;
        out(map.cast::<[u8; 128]>(), bytes)
    }

    // ---- launches

    fn cuLaunchKernel(f: Handle, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: Handle, args: *mut *mut c_void, extra: *mut *mut c_void) {
        launch(f, [gx, gy, gz], [bx, by, bz], None, false, shared, stream, args, extra)
    }
    fn cuLaunchCooperativeKernel(f: Handle, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: Handle, args: *mut *mut c_void) {
        launch(f, [gx, gy, gz], [bx, by, bz], None, true, shared, stream, args, std::ptr::null_mut())
    }
    fn cuLaunchKernelEx(config: *const LaunchConfig, f: Handle, args: *mut *mut c_void, extra: *mut *mut c_void) {
        let (c, cluster, cooperative) = configuration(config)?;
        launch(f, c.grid, c.block, cluster, cooperative, c.shared, c.stream, args, extra)
    }
    fn cuLaunchHostFunc(stream: Handle, f: Handle, data: *mut c_void) {
        if f.is_null() {
            return Err(code::INVALID_VALUE);
        }
        later(stream, Node::Host { f: h(f), data: data as usize })
    }

    // ---- streams

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

    // ---- events

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

    // ---- capture and graphs

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

    // ---- the emulator's own

    fn gpuemu_expect_written_once(address: DevPtr, row_bytes: u64, rows: u64, pitch: u64, launches: c_uint) {
        let mut s = state();
        s.usable()?;
        s.dev.cover = None;
        s.dev.options.written_by = launches;
        s.dev.options.written_once.push(crate::Region { address, row_bytes, rows, pitch });
        Ok(())
    }
    fn gpuemu_shuffle(seed: u64) {
        let mut s = state();
        s.usable()?;
        s.dev.options.shuffle = seed;
        // Copies that land at once are an order as good as any other.
        s.dev.options.copies_land_early = s.cfg.copies_early || seed % 3 == 1;
        Ok(())
    }
    fn gpuemu_counters_reset() {
        let mut s = state();
        s.counters = crate::Counters::default();
        s.findings.clear();
        Ok(())
    }
}

fn potential(
    grid: *mut c_int,
    block: *mut c_int,
    f: Handle,
    b2d: Option<unsafe extern "C" fn(c_int) -> usize>,
    dynamic: usize,
    limit: c_int,
) -> Res {
    let max = {
        let s = state();
        s.function(h(f))?.entry.max_threads().unwrap_or(1024).min(1024) as c_int
    };
    let max = if limit > 0 { max.min(limit) } else { max };
    let (mut best, mut at) = (0, (0, 0));
    let mut t = max / 32 * 32;
    while t >= 32 {
        // SAFETY: the caller gave this function for being called with block sizes.
        let d = b2d.map_or(dynamic, |g| unsafe { g(t) });
        let n = blocks_per_sm(f, t, d)?;
        if n * t > best {
            best = n * t;
            at = (n, t);
        }
        t -= 32;
    }
    out(grid, at.0 * state().cfg.sms as c_int)?;
    out(block, at.1)
}

fn give(text: &str, to: *mut c_char, len: usize) -> usize {
    if !to.is_null() && len > 0 {
        let _ = write_text(to, len.min(c_int::MAX as usize) as c_int, text);
    }
    text.len()
}

/// Writes the counters of all launches so far as JSON with a zero at the end, as much as `len` bytes hold; gives the length without it.
#[unsafe(no_mangle)]
unsafe extern "C" fn gpuemu_counters_json(to: *mut c_char, len: usize) -> usize {
    let t = state().counters.to_json();
    give(&t, to, len)
}

/// As `gpuemu_counters_json`, with the findings so far, one a line.
#[unsafe(no_mangle)]
unsafe extern "C" fn gpuemu_findings(to: *mut c_char, len: usize) -> usize {
    let t = state().findings.join("\n");
    give(&t, to, len)
}

/// The number of launches so far.
#[unsafe(no_mangle)]
extern "C" fn gpuemu_launches() -> u64 {
    state().launches
}
