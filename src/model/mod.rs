//! What a GEMM should cost on a device, from arithmetic alone: no device, no files.
//!
//! [`predict`] takes a [`Problem`](crate::Problem), a kernel's variant and a [`DeviceDescription`] and gives a [`Prediction`]: tiles, waves,
//! occupancy and a [`Budget`], whose parts say what the time is spent on and add up to the whole. `docs/METHODOLOGY.md` has the
//! formulas; what in them is assumed and not published is in [`Assumptions`].

mod budget;
mod device;
mod execution;
mod predict;
mod roofline;
mod sustained;
mod waves;

pub use budget::{Budget, Cause, Part};
pub use device::{DeviceDescription, Figure, Measured, Rates, SmLimits, UnknownDevice, devices};
pub use execution::{Execution, Order};
pub use predict::{Assumptions, Limit, Prediction, predict, predict_execution, predict_with};
pub use roofline::{Roofline, roofline, smallest_batch};
pub use sustained::{Basis, Sustained, sustained};
pub use waves::{Occupancy, Waves, coulom_batch, full_wave_batch, occupancy, resident_ctas, waves};
