//! Two runs held against each other, cell by cell: faster, slower, same, or unclear.
//!
//! The runs were made one after the other, so a cell of one was not measured in turn with that of the other. What the machine did
//! meanwhile is estimated from all cells together: their common shift and their scatter around it ([`judge`]), and which cells with something in
//! common moved together ([`Group`]).

#[cfg(test)]
mod error_rates;
mod group;
mod judge;
mod overall;
mod pairing;

pub use group::{Group, GroupChange};
pub use judge::{CellChange, Changes, Cycles, Overall, Shift, Verdict, judge};
pub use pairing::{Comparison, Difference, Lost, Observation, compare};
