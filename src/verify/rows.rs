//! Which rows of C to compare with the reference.

use crate::problem::Problem;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

/// Rows of C to compare, in ascending order. Every row is still scanned for poison, NaN and writes to its padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSample {
    /// Their numbers.
    pub rows: Vec<u32>,
}

/// Rows that are always among a sample: a kernel's mistakes sit at the edges of tiles.
const EDGES: [u64; 8] = [0, 1, 15, 16, 63, 64, 127, 128];

/// All rows where their reference costs at most `budget_flop`, else the edges and as many more as the budget has room for,
/// drawn by the seed.
pub fn rows_to_check(problem: &Problem, budget_flop: u64, seed: u64) -> RowSample {
    let per_row = (2 * problem.n * problem.k.max(1)).max(1);
    let room = budget_flop / per_row;
    if room >= problem.m {
        return RowSample { rows: (0..problem.m as u32).collect() };
    }
    let edges = EDGES.into_iter().chain([problem.m - 2, problem.m - 1]).filter(|&r| r < problem.m);
    let mut rows: Vec<u32> = edges.map(|r| r as u32).collect();
    let more = room.saturating_sub(rows.len() as u64).min(problem.m);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rows.extend(sample(&mut rng, problem.m as usize, more as usize).into_iter().map(|r| r as u32));
    rows.sort_unstable();
    rows.dedup();
    RowSample { rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_problems_are_checked_whole_and_large_ones_in_part() {
        let all = rows_to_check(&Problem::new(300, 20, 30), 1 << 30, 1);
        assert_eq!(all.rows, (0..300).collect::<Vec<u32>>());
        let p = Problem::new(1_000_000, 64, 64);
        let some = rows_to_check(&p, 100 * 2 * 64 * 64, 1);
        assert!((90..=100).contains(&some.rows.len()), "{}", some.rows.len());
        assert!(some.rows.contains(&0) && some.rows.contains(&127) && some.rows.contains(&999_999));
        assert!(some.rows.is_sorted());
        assert_ne!(some, rows_to_check(&p, 100 * 2 * 64 * 64, 2), "another seed draws other rows");
        // A budget of nothing still looks at the edges.
        assert!(rows_to_check(&p, 0, 1).rows.len() >= 8);
    }
}
