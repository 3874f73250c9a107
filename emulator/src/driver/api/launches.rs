//! Launches.

use super::*;

api! {
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
}
