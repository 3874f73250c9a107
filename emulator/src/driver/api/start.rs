//! Start, version, errors, and functions by name.

use super::*;

fn error_text(e: u32, to: *mut *const c_char, description: bool) -> Res {
    match code::ALL.iter().find(|x| x.0 == e) {
        Some(x) => out(to, if description { x.2.as_ptr() } else { x.1.as_ptr() }),
        None => {
            out_opt(to, std::ptr::null());
            Err(code::INVALID_VALUE)
        }
    }
}

api! {
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
}
