//! Where the copies of a problem's operands lie in device memory.
//!
//! There are two allocations. One holds A and B of every copy, the other holds C of every copy; a copy is as far from
//! the next as from the one before, so that all copies are made from the first in a few large steps and all of C is
//! reset in one.

use crate::device::GUARD;
use crate::problem::{BASE_ALIGN_BYTES, Operand, Problem};

/// Most copies. So many hold three times a 50 MB cache with 2.3 kB a copy; the time of smaller problems is launch
/// latency.
const MAX_COPIES: u64 = 1 << 16;

/// Distances are in bytes from the start of the allocation, which is a multiple of [`BASE_ALIGN_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Copies of each operand.
    pub copies: u64,
    /// To A's first element, in the first copy.
    pub a: u64,
    /// To B's first element, in the first copy.
    pub b: u64,
    /// From one copy of A and B to the next.
    pub inputs_stride: u64,
    /// To the guard band in front of C, in the first copy.
    pub c_buffer: u64,
    /// Elements from there to the end of the guard band after C.
    pub c_buffer_len: u64,
    /// Elements from there to C's first element.
    pub c_start: u64,
    /// From one copy of C to the next.
    pub results_stride: u64,
}

impl Layout {
    /// Lays out as many copies as it takes for their values to exceed `rotate_bytes`.
    ///
    /// Only values count, not padding: a launch does not bring padding into the cache. `None` where a distance does not
    /// fit in 64 bits, which no memory does.
    pub(super) fn new(problem: &Problem, rotate_bytes: u64) -> Option<Layout> {
        let (element, c_element) = (problem.dtype.bytes(), problem.dtype.c_bytes());
        let guard = GUARD * c_element;
        // From an aligned base to the end of an operand and of a guard band after it.
        let extent = |operand| -> Option<u64> {
            let (p, element) = (problem.placement(operand), problem.element_bytes(operand));
            p.offset
                .checked_add(p.span())?
                .checked_add(GUARD)?
                .checked_mul(element)?
                .checked_next_multiple_of(BASE_ALIGN_BYTES)
        };
        let b_base = extent(Operand::A)?;
        let inputs_stride = b_base.checked_add(extent(Operand::B)?)?;
        // The guard band in front of C ends where the offset begins, at an aligned base.
        let c_base = guard.next_multiple_of(BASE_ALIGN_BYTES);
        let results_stride = c_base.checked_add(extent(Operand::C)?)?;
        let c = problem.placement(Operand::C);
        Some(Layout {
            copies: copies(problem, rotate_bytes),
            a: problem.offset_a * element,
            b: b_base + problem.offset_b * element,
            inputs_stride,
            c_buffer: c_base - guard,
            c_buffer_len: GUARD + c.offset + c.span() + GUARD,
            c_start: GUARD + c.offset,
            results_stride,
        })
    }

    /// Bytes of all copies of A and B, with room to align the first.
    pub(super) fn inputs_bytes(&self) -> Option<u64> {
        self.inputs_stride.checked_mul(self.copies)?.checked_add(BASE_ALIGN_BYTES)
    }

    /// Bytes of all copies of C, with room to align the first.
    pub(super) fn results_bytes(&self) -> Option<u64> {
        self.results_stride.checked_mul(self.copies)?.checked_add(BASE_ALIGN_BYTES)
    }

    /// To C's first element, in the first copy.
    pub(super) fn c(&self, problem: &Problem) -> u64 {
        self.c_buffer + self.c_start * problem.dtype.c_bytes()
    }
}

fn copies(problem: &Problem, rotate_bytes: u64) -> u64 {
    if rotate_bytes == 0 {
        return 1;
    }
    let values: u128 = Operand::ALL
        .iter()
        .map(|&operand| {
            let p = problem.placement(operand);
            u128::from(p.rows) * u128::from(p.cols) * u128::from(problem.element_bytes(operand))
        })
        .sum();
    let enough = u128::from(rotate_bytes) / values.max(1) + 1;
    u64::try_from(enough).unwrap_or(MAX_COPIES).clamp(2, MAX_COPIES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{self, DType};
    use proptest::prelude::*;

    #[test]
    fn copies_exceed_the_rotation_and_are_never_one() {
        // 64 cubed: three matrices of 8 KiB.
        let p = Problem::new(64, 64, 64);
        let copies = |rotate| Layout::new(&p, rotate).unwrap().copies;
        assert_eq!(copies(0), 1);
        assert_eq!(copies(1), 2);
        assert_eq!(copies(2 * 3 * 8192 - 1), 2);
        assert_eq!(copies(2 * 3 * 8192), 3, "equal is not more");
        assert_eq!(copies(u64::MAX), MAX_COPIES);
    }

    #[test]
    fn padding_does_not_count_as_rotated() {
        let mut p = Problem::new(64, 64, 64);
        let dense = Layout::new(&p, 1 << 20).unwrap().copies;
        (p.lda, p.ldb, p.ldc) = (1024, 1024, 1024);
        assert_eq!(Layout::new(&p, 1 << 20).unwrap().copies, dense);
    }

    #[test]
    fn sizes_beyond_any_memory_are_refused_and_not_wrapped() {
        let mut p = Problem::new(2, 8, 8);
        p.ldc = (1 << 61) - 8;
        p.validate().unwrap();
        let layout = Layout::new(&p, 1 << 40);
        assert!(layout.is_none_or(|l| l.results_bytes().is_none()), "{layout:?}");
    }

    proptest! {
        #[test]
        fn regions_keep_apart_and_addresses_keep_their_alignment(
            (m, n, k) in (1u64..40, 1u64..40, 0u64..40),
            pads in proptest::array::uniform3(0u64..70),
            offsets in proptest::array::uniform3(0u64..70),
            dtype in proptest::sample::select(DType::ALL.to_vec()),
            storage in proptest::sample::select(problem::Layout::ALL.to_vec()),
        ) {
            let mut p = Problem::new(m, n, k).in_form(storage, dtype);
            (p.lda, p.ldb, p.ldc) = (p.lda + pads[0], p.ldb + pads[1], p.ldc + pads[2]);
            (p.offset_a, p.offset_b, p.offset_c) = (offsets[0], offsets[1], offsets[2]);
            let l = Layout::new(&p, 100_000).unwrap();
            let (ab, c) = (dtype.bytes(), dtype.c_bytes());
            let end = |start: u64, operand| start + p.placement(operand).span() * p.element_bytes(operand);
            // The guard after A ends before B's base, and so on around the copy.
            prop_assert!(end(l.a, Operand::A) + GUARD * ab <= l.b - p.offset_b * ab);
            prop_assert!(end(l.b, Operand::B) + GUARD * ab <= l.inputs_stride);
            prop_assert!(l.c_buffer + l.c_buffer_len * c <= l.results_stride);
            prop_assert_eq!(end(l.c(&p), Operand::C) + GUARD * c, l.c_buffer + l.c_buffer_len * c);
            for (start, offset) in [(l.a, p.offset_a * ab), (l.b, p.offset_b * ab), (l.c(&p), p.offset_c * c)] {
                prop_assert_eq!((start - offset) % BASE_ALIGN_BYTES, 0);
            }
            prop_assert_eq!(l.inputs_stride % BASE_ALIGN_BYTES, 0);
            prop_assert_eq!(l.results_stride % BASE_ALIGN_BYTES, 0);
        }
    }
}
