//! Power, temperature and throttle reasons through NVML. Whatever cannot be had is `None`, and [`state`] says why.

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The least time between two queries. A query costs about a millisecond, and NVML renews power and clocks no faster.
const PERIOD: Duration = Duration::from_millis(20);

/// Reasons that cost speed under load. Idling, application clocks, sync boost and display clocks are settings, not
/// losses.
const LOSSES: ThrottleReasons = ThrottleReasons::SW_POWER_CAP
    .union(ThrottleReasons::HW_SLOWDOWN)
    .union(ThrottleReasons::SW_THERMAL_SLOWDOWN)
    .union(ThrottleReasons::HW_THERMAL_SLOWDOWN)
    .union(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN);

// Opened once and never closed: NVML counts its users, and each opening costs milliseconds.
static NVML: LazyLock<Result<Nvml, String>> = LazyLock::new(|| Nvml::init().map_err(|error| explain(&error)));

/// What a device says about itself while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Board power, in milliwatts.
    pub power_mw: Option<u32>,
    /// Temperature of the chip, in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// NVML's bits for why the clock is lower than it could be; 0 is none.
    pub throttle_bits: Option<u64>,
    /// Whether one of those bits means a loss of speed under load.
    pub throttled: bool,
}

/// The telemetry of one device.
#[derive(Debug)]
pub struct Telemetry {
    pci_bus_id: Option<String>,
    last: Cell<Option<(Instant, Reading)>>,
}

/// Figures of a device that NVML knows and the CUDA driver does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    /// Highest clock of the multiprocessors, in MHz.
    pub max_clock_mhz: Option<u32>,
    /// Power limit in force, in milliwatts.
    pub power_cap_mw: Option<u32>,
}

impl Telemetry {
    /// The telemetry of the device at a PCI address such as `0000:3B:00.0`.
    ///
    /// NVML numbers devices otherwise than CUDA does, so an ordinal would not do. Without an address, or without NVML,
    /// every reading is empty.
    pub fn new(pci_bus_id: Option<&str>) -> Self {
        Telemetry { pci_bus_id: pci_bus_id.map(str::to_owned), last: Cell::new(None) }
    }

    /// The state now, or as it was at most 20 ms ago.
    pub fn reading(&self) -> Reading {
        match self.last.get() {
            Some((at, reading)) if at.elapsed() < PERIOD => reading,
            _ => {
                let reading = self.query();
                self.last.set(Some((Instant::now(), reading)));
                reading
            }
        }
    }

    /// The limits that the device works under.
    pub(super) fn limits(&self) -> Limits {
        self.with_device(|device| Limits {
            max_clock_mhz: device.max_clock_info(Clock::SM).ok(),
            power_cap_mw: device.enforced_power_limit().ok(),
        })
    }

    fn query(&self) -> Reading {
        self.with_device(|device| {
            let reasons = device.current_throttle_reasons().ok();
            Reading {
                power_mw: device.power_usage().ok(),
                temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
                throttle_bits: reasons.map(|r| r.bits()),
                throttled: reasons.is_some_and(costs_speed),
            }
        })
    }

    fn with_device<T: Default>(&self, ask: impl FnOnce(&nvml_wrapper::Device<'_>) -> T) -> T {
        let (Ok(nvml), Some(address)) = (NVML.as_ref(), &self.pci_bus_id) else { return T::default() };
        match nvml.device_by_pci_bus_id(address.as_str()) {
            Ok(device) => ask(&device),
            Err(error) => {
                log::debug!("NVML does not know the device at {address}: {}", explain(&error));
                T::default()
            }
        }
    }
}

fn costs_speed(reasons: ThrottleReasons) -> bool {
    reasons.intersects(LOSSES)
}

/// NVML's version, such as `nvml 13.580.65.06`.
///
/// # Errors
/// Why there is no telemetry, in words.
pub fn state() -> Result<String, String> {
    let nvml = NVML.as_ref().map_err(String::clone)?;
    let version = nvml.sys_nvml_version().map_err(|error| explain(&error))?;
    Ok(format!("nvml {version}"))
}

/// The version of the NVIDIA driver, such as `580.65.06`, where NVML can tell.
pub(super) fn driver_version() -> Option<String> {
    NVML.as_ref().ok()?.sys_driver_version().ok()
}

fn explain(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(_) => {
            "no telemetry: libnvidia-ml.so.1 cannot be loaded; it comes with the NVIDIA driver".to_owned()
        }
        other => format!("no telemetry: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_speed_are_told_from_settings() {
        for loss in [
            ThrottleReasons::SW_POWER_CAP,
            ThrottleReasons::HW_SLOWDOWN,
            ThrottleReasons::SW_THERMAL_SLOWDOWN,
            ThrottleReasons::HW_THERMAL_SLOWDOWN,
            ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
        ] {
            assert!(costs_speed(loss | ThrottleReasons::GPU_IDLE), "{loss:?}");
        }
        let settings = ThrottleReasons::GPU_IDLE
            | ThrottleReasons::APPLICATIONS_CLOCKS_SETTING
            | ThrottleReasons::SYNC_BOOST
            | ThrottleReasons::DISPLAY_CLOCK_SETTING;
        assert!(!costs_speed(settings));
        assert!(!costs_speed(ThrottleReasons::NONE));
    }

    #[test]
    fn without_an_address_a_reading_is_empty() {
        let telemetry = Telemetry::new(None);
        assert_eq!(telemetry.reading(), Reading::default());
        assert_eq!(telemetry.limits(), Limits::default());
    }

    #[test]
    fn readings_are_not_renewed_within_the_period() {
        let telemetry = Telemetry::new(None);
        let held = Reading { power_mw: Some(1), ..Reading::default() };
        telemetry.last.set(Some((Instant::now(), held)));
        assert_eq!(telemetry.reading(), held);
        telemetry.last.set(Instant::now().checked_sub(2 * PERIOD).map(|long_ago| (long_ago, held)));
        assert_eq!(telemetry.reading(), Reading::default());
    }

    #[test]
    fn a_missing_library_is_named() {
        // True on every machine: with NVML there is a version, without it a cause that names the library.
        match state() {
            Ok(version) => assert!(version.starts_with("nvml "), "{version}"),
            Err(why) => assert!(why.starts_with("no telemetry: "), "{why}"),
        }
    }
}
