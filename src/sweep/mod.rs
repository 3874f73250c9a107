//! Sweeps: axes become a plan, workers measure its cells, the journal keeps them.
//!
//! [`run`] is the whole way. It can be stopped at any moment: the journal then holds every unit but the one in flight, and a
//! later [`run`] in the same folder with [`Options::resume`] goes on.

pub mod axes;
mod execute;
mod journal;
mod plan;
mod preset;
mod run;
mod worker;

pub use axes::{Axis, AxisError, Value};
pub use execute::{Conditions, Executor, UnitOutcome, blank};
pub use journal::{Done, FolderError, FolderLock, JournalWriter, Resumed, lock_folder};
pub use plan::{Arm, Cell, Listed, Part, Plan, PlanError, Spec, least_ns, pace};
pub use preset::Preset;
pub use run::{Event, Options, SweepError, resumable, run};
pub use worker::{Isolation, Worker, WorkerError, serve};
