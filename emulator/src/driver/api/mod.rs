//! The exported functions, one for each that a program resolves by name.

use std::cell::Cell;

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use super::{CURRENT, Event, Function, Node, Object, Res, State, Stream, code, state, wait_idle};
use occupancy::{
    LaunchConfig, active_clusters, blocks_per_sm, cluster_of, configuration, potential, potential_cluster,
};

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
        /// Every exported function of this part by name.
        pub(super) fn exported(name: &str) -> Option<*mut c_void> {
            match name {
                $(stringify!($name) => Some($name as *mut c_void),)*
                _ => None,
            }
        }
    };
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

fn attribute(s: &State, a: c_int) -> Option<c_int> {
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

mod contexts;
mod copies;
mod devices;
mod events;
mod graphs;
mod launches;
mod memory;
mod modules;
mod occupancy;
mod own;
mod start;
mod streams;

/// Every exported function by name.
fn by_name(name: &str) -> Option<*mut c_void> {
    [
        contexts::exported,
        copies::exported,
        devices::exported,
        events::exported,
        graphs::exported,
        launches::exported,
        memory::exported,
        modules::exported,
        own::exported,
        start::exported,
        streams::exported,
    ]
    .iter()
    .find_map(|f| f(name))
}
