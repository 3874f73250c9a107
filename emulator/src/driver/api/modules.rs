//! Modules, functions, occupancy and tensor maps.

use super::*;

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

api! {
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
}
