//! Placeholder until the CUDA branch lands.
use thiserror::Error;
/// Why there is no GPU.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GpuAbsent {
    /// No driver.
    #[error("no CUDA driver")]
    DriverMissing,
}
impl GpuAbsent {
    /// Kind.
    pub fn kind(&self) -> &'static str {
        "driver_missing"
    }
}
