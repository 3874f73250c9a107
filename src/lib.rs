//! gemmscope measures what matrix shape and alignment cost a tiled FP16 GEMM, on a GPU or on the CPU.
//!
//! Most people use the command of the same name. The library is what it is made of:
//!
//! * [`Problem`] is a GEMM with its sizes, leading dimensions and base offsets;
//! * [`model`] says what it should cost, with no device at all;
//! * [`device`] finds and opens what can run one, [`catalog`] holds the kernels and [`dispatch`] chooses among them;
//! * [`tune`] measures what dispatch should rather choose;
//! * [`measure`] takes samples, [`verify`] checks the result, [`stats`] says what the samples are worth;
//! * [`sweep`] plans and runs many cells, [`record`] is what it writes, [`report`] draws it.
//!
//! `examples/odd_stride.rs` chooses a kernel for a problem in two placements, checks it and measures the two in turn.
//!
//! A sweep over two leading dimensions on the CPU:
//!
//! ```
//! use gemmscope::device::{DeviceChoice, probe};
//! use gemmscope::measure::Stopping;
//! use gemmscope::record::read_journal;
//! use gemmscope::sweep::{Conditions, Isolation, Options, Part, Spec, run};
//! use std::sync::atomic::AtomicBool;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let out = tempfile::tempdir()?;
//! let part = Part {
//!     m: "64".parse()?,
//!     n: "m".parse()?,
//!     k: "m".parse()?,
//!     lda: "+0..1".parse()?,
//!     ..Part::new("example")
//! };
//! let options = Options {
//!     spec: Spec { parts: vec![part], ..Spec::default() },
//!     choice: DeviceChoice::Cpu,
//!     device: probe().cpu,
//!     conditions: Conditions {
//!         seed: 1,
//!         distribution: Default::default(),
//!         stopping: Stopping { cell_ns: 20_000_000, ..Stopping::default() },
//!         tuned: None,
//!     },
//!     out: out.path().to_owned(),
//!     resume: false,
//!     shard: (1, 1),
//!     budget: None,
//!     isolation: Isolation::None,
//!     command: vec!["example".to_owned()],
//! };
//! let manifest = run(&options, &AtomicBool::new(false), &mut |_| {})?;
//! assert_eq!(manifest.progress.ok, 2);
//! for cell in read_journal(out.path())?.cells {
//!     println!("lda {}: {:.4} TFLOP/s", cell.problem.lda, cell.tflops.unwrap_or_default());
//! }
//! # Ok(())
//! # }
//! ```

pub mod advice;
pub mod baseline;
pub mod catalog;
pub mod claims;
pub mod cli;
pub mod compare;
pub mod data;
pub mod device;
pub mod dispatch;
pub mod host;
pub mod measure;
pub mod model;
pub mod problem;
pub mod record;
pub mod report;
pub mod scalar;
pub mod stats;
pub mod sweep;
pub mod tune;
pub mod verify;

pub use problem::Problem;
