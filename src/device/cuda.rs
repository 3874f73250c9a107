//! Placeholder.
use super::*;
pub(crate) fn probe() -> Result<Vec<DeviceInfo>, GpuAbsent> {
    Err(GpuAbsent::DriverMissing)
}
/// T
#[derive(Debug)]
pub enum CudaDevice {}
impl CudaDevice {
    /// open
    pub fn open(_: u32) -> Result<Self, DeviceError> {
        Err(GpuAbsent::DriverMissing.into())
    }
}
impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        match *self {}
    }
    fn free_bytes(&self) -> u64 {
        match *self {}
    }
    fn prepare(&self, _: &Job<'_>) -> Result<Box<dyn Prepared>, DeviceError> {
        match *self {}
    }
    fn reading(&self) -> Reading {
        match *self {}
    }
}
