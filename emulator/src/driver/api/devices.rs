//! Devices and their attributes.

use super::*;

const UUID: [u8; 16] = *b"gpu-emulator-000";

const BUS_ID: &str = "0000:00:00.0";

api! {
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
}
