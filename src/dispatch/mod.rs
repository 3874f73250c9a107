//! Chooses the kernel and the variant for a problem, from its real addresses and the device, and says why.
//!
//! One concept a file: what was asked for (`select`), what can run a problem at all (`legal`), which of it should be fastest by
//! [`model`](crate::model) (`rank`), the words for it (`reason`), and what measurements say instead (`tuned`). Nothing here knows
//! a kernel by name: all is read from the catalogue.
//!
//! ```
//! use gemmscope::dispatch::{Selector, rank};
//! let ranking = rank(&gemmscope::Problem::new(64, 64, 64), &Selector::Auto, &gemmscope::device::probe().cpu);
//! assert_eq!(ranking.candidates[0].choice.kernel.name, "cpu_sgemm");
//! ```

mod legal;
mod rank;
mod reason;
mod select;
#[cfg(test)]
mod testing;
mod tuned;

pub use legal::{NoKernel, may_run, runs_on, tiles};
pub use rank::{Candidate, Choice, Dispatcher, Ranking, Refused, choose, rank};
pub use select::{SelectError, Selector, kernels, select};
pub use tuned::{Entry, Form, MAX_ENTRIES, Outcome, Tuned};
