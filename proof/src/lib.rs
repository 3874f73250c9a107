//! The kernels that ship, and ways to break them: what the tests of this package share.
//!
//! It stands between the two halves of the workspace, which know nothing of each other: it reads `kernels/` as data, the catalogue
//! and the compressed PTX that is checked in, and runs that PTX with the emulator's library.

mod catalog;
mod launch;
mod mutate;
mod problem;
mod text;

pub use catalog::{Half, How, Maps, Variant, modules, routed, variants};
pub use mutate::{Edit, Nth, Pick, mutate, random};
pub use problem::{Outcome, Problem, Refused};
pub use text::{Statement, source_line, statements};

/// Runs something for every item, on the two cores that any machine has.
///
/// # Panics
/// What is run panics.
pub fn on_two_threads<T: Sync>(items: &[T], each: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let half = |start: usize| items.iter().skip(start).step_by(2).filter_map(&each).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut said = half(0);
        said.extend(other.join().expect("what panicked has said why"));
        said
    })
}
