//! A device's figures: what the driver says, and what follows from its compute capability.

use super::driver::{Driver, Failed};
use super::emulated;
use super::gate::Gate;
use crate::device::DeviceInfo;
use crate::device::absent::dotted;
use crate::device::telemetry::{self, Telemetry};
use crate::record::{DeviceKind, DeviceRecord};
use cudarc::driver::sys::{CUdevice_attribute, CUuuid};
use std::ffi::{CStr, c_char, c_int};

/// What an event's time stamp is good to, by the driver's documentation: about half a microsecond.
const EVENT_RESOLUTION_NS: f64 = 500.0;

/// How many devices the driver shows.
pub(super) fn count(driver: &Driver) -> Result<u32, Failed> {
    let mut count = 0;
    // SAFETY: writes one integer.
    unsafe { driver.cuDeviceGetCount(&mut count) }?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// The handle of the device at an ordinal.
pub(super) fn handle(driver: &Driver, ordinal: u32) -> Result<c_int, Failed> {
    let mut device = 0;
    // SAFETY: writes one handle; an ordinal out of range is refused.
    unsafe { driver.cuDeviceGet(&mut device, c_int::try_from(ordinal).unwrap_or(c_int::MAX)) }?;
    Ok(device)
}

/// All figures of the device at an ordinal.
pub(super) fn figures(gate: &Gate, ordinal: u32) -> Result<DeviceInfo, Failed> {
    let driver = &gate.driver;
    let device = handle(driver, ordinal)?;
    let attribute = |which: CUdevice_attribute| -> Result<u32, Failed> {
        let mut value = 0;
        // SAFETY: writes one integer; the handle is the driver's own.
        unsafe { driver.cuDeviceGetAttribute(&mut value, which as c_int, device) }?;
        Ok(u32::try_from(value).unwrap_or(0))
    };
    let (major, minor) = (
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    let cc = major * 10 + minor;
    let units = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    let mut memory_bytes = 0;
    // SAFETY: writes one size.
    unsafe { driver.cuDeviceTotalMem(&mut memory_bytes, device) }?;
    // SAFETY: the driver writes at most the given length.
    let name = text(|buffer, length| unsafe { driver.cuDeviceGetName(buffer, length, device) })?;
    // A virtual device may have no PCI address; telemetry then has nothing to join by, and that is all that is lost.
    // SAFETY: as above.
    let pci_bus_id = text(|buffer, length| unsafe { driver.cuDeviceGetPCIBusId(buffer, length, device) }).ok();
    let clock_khz = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE).ok().filter(|&khz| khz > 0);
    let limits = Telemetry::new(pci_bus_id.as_deref()).limits();
    let cuda = format!("CUDA {}", dotted(gate.version));
    let record = DeviceRecord {
        kind: if emulated::library().is_some() { DeviceKind::Emulated } else { DeviceKind::Cuda },
        name,
        uuid: uuid(driver, device),
        pci_bus_id,
        compute_capability: Some(format!("{major}.{minor}")),
        units,
        peak_flop_per_cycle: f64::from(units) * f64::from(flop_per_cycle_per_sm(cc)),
        l2_bytes: u64::from(attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?),
        memory_bytes: memory_bytes as u64,
        max_clock_mhz: limits.max_clock_mhz.or(clock_khz.map(|khz| khz / 1000)),
        power_cap_mw: limits.power_cap_mw,
        driver: telemetry::driver_version().map_or(cuda.clone(), |version| format!("{version} ({cuda})")),
        telemetry: telemetry::state().unwrap_or_else(|why| why),
        clock_source: "clock64 over globaltimer per SM".to_owned(),
    };
    Ok(DeviceInfo { record, cc, timer_resolution_ns: EVENT_RESOLUTION_NS })
}

/// Dense FP16 tensor FLOP that one multiprocessor can do in a cycle.
///
/// Where products of one generation differ, this is the fastest of them: GeForce parts do half with FP32 accumulation.
/// It is an upper bound for judging measurements, not a promise.
fn flop_per_cycle_per_sm(cc: u32) -> u32 {
    match cc {
        70 | 72 | 75 => 1024,
        80 | 87 => 2048,
        86 | 89 => 1024,
        90 => 4096,
        100 | 101 | 103 | 110 => 8192,
        120 | 121 => 1024,
        // A part newer than this table. Each data-centre generation has doubled the last, so this is generous.
        _ => 16384,
    }
}

fn uuid(driver: &Driver, device: c_int) -> Option<String> {
    let mut uuid = CUuuid { bytes: [0; 16] };
    // SAFETY: writes 16 bytes.
    unsafe { driver.cuDeviceGetUuid(&mut uuid, device) }.ok()?;
    let hex: String = uuid.bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
    Some(format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// A string that the driver writes into a buffer of limited length.
fn text(write: impl FnOnce(*mut c_char, c_int) -> Result<(), Failed>) -> Result<String, Failed> {
    let mut buffer = [0u8; 256];
    // One byte is kept back, so that the string ends even if the driver fills all it may.
    write(buffer.as_mut_ptr().cast(), buffer.len() as c_int - 1)?;
    let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
    Ok(text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_agree_with_the_data_sheets() {
        // (compute capability, SMs, boost clock in MHz, dense FP16 TFLOPS of the data sheet)
        for (cc, sms, mhz, tflops) in
            [(70, 80, 1530.0, 125.0), (80, 108, 1410.0, 312.0), (86, 84, 1740.0, 149.7), (90, 132, 1830.0, 989.4)]
        {
            let peak = f64::from(flop_per_cycle_per_sm(cc)) * f64::from(sms) * mhz * 1e6 / 1e12;
            assert!((peak / tflops - 1.0f64).abs() < 0.01, "{cc}: {peak} against {tflops}");
        }
    }

    #[test]
    fn an_unknown_part_gets_a_bound_above_all_known_ones() {
        for known in [70, 75, 80, 86, 89, 90, 100, 120] {
            assert!(flop_per_cycle_per_sm(999) > flop_per_cycle_per_sm(known));
        }
    }

    #[test]
    fn a_string_without_an_end_is_cut() {
        let text = text(|buffer, length| {
            // SAFETY: the buffer is at least that long.
            unsafe { std::ptr::write_bytes(buffer, b'x', length as usize) };
            Ok(())
        });
        assert_eq!(text.unwrap().len(), 255);
    }
}
