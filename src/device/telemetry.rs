//! Placeholder.
/// Reading.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// mW
    pub power_mw: Option<u32>,
    /// C
    pub temperature_c: Option<u32>,
    /// bits
    pub throttle_bits: Option<u64>,
    /// tag
    pub throttled: bool,
}
/// T
#[derive(Debug)]
pub struct Telemetry;
pub(crate) fn state() -> Result<String, String> {
    Err("none".into())
}
