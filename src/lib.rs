//! gemmscope measures what matrix shape and alignment cost a tiled FP16 GEMM on a GPU.
#![warn(missing_docs)]

pub mod catalog;
pub mod device;
pub mod problem;
pub mod record;
pub mod report;

pub use problem::Problem;
