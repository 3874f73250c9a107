//! The CPU as a device: rows widened to FP32, a library's SGEMM, and the result narrowed again.
//!
//! It takes FP16, BF16, and TF32 as binary32 whose inputs are truncated, in every layout. Widening and narrowing are inside the
//! timed region: they are part of what such a GEMM costs here. The FP32 copies keep the leading dimensions and the offsets of the
//! matrices, so that what strides do to caches and pages shows.

use super::{
    CheckCounts, Device, DeviceError, DeviceInfo, ErrorBound, GUARD, HostMatrix, HostView, Job, Prepared, Reading,
    Timing,
};
use crate::catalog::cpu_kernel;
use crate::data;
use crate::problem::{BASE_ALIGN_BYTES, Operand, Placement, Problem};
use crate::record::{DeviceKind, DeviceRecord};
use crate::scalar::Scalar;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};
use std::sync::LazyLock;
use std::time::Instant;

/// What the CPU is, found once.
pub fn info() -> DeviceInfo {
    static INFO: LazyLock<DeviceInfo> = LazyLock::new(|| {
        let threads = gemm_threads();
        DeviceInfo {
            record: DeviceRecord {
                kind: DeviceKind::Cpu,
                name: format!("CPU: {}", crate::host::cpu_name()),
                uuid: None,
                pci_bus_id: None,
                compute_capability: None,
                units: threads,
                peak_flop_per_cycle: f64::from(threads) * flop_per_cycle_of_a_core(),
                l2_bytes: crate::host::last_level_cache_bytes(),
                memory_bytes: crate::host::memory_bytes(),
                max_clock_mhz: None,
                power_cap_mw: None,
                driver: "none".to_owned(),
                telemetry: "none for a CPU".to_owned(),
                clock_source: if clock::mhz().is_some() {
                    "a chain of dependent integer multiplications, timed on one core just before each sample".to_owned()
                } else {
                    "none".to_owned()
                },
            },
            cc: 0,
            timer_resolution_ns: timer_resolution_ns(),
        }
    });
    INFO.clone()
}

/// Threads that the library uses: all physical cores, at most four, unless `MATMUL_NUM_THREADS` says otherwise.
fn gemm_threads() -> u32 {
    let threads = match std::env::var("MATMUL_NUM_THREADS") {
        Ok(asked) if !asked.is_empty() => asked.parse().unwrap_or(1),
        _ => num_cpus::get_physical(),
    };
    threads.clamp(1, 4) as u32
}

/// An upper bound on FP32 FLOP a cycle of one core: two fused multiply-adds of the widest vector there is.
fn flop_per_cycle_of_a_core() -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return 64.0;
        }
        if std::arch::is_x86_feature_detected!("fma") {
            return 32.0;
        }
        16.0
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // Four 128-bit pipes, the widest of today's other cores.
        32.0
    }
}

/// The smallest step that the clock makes.
fn timer_resolution_ns() -> f64 {
    (0..200)
        .filter_map(|_| {
            let start = Instant::now();
            (0..1000).map(|_| start.elapsed().as_nanos()).find(|&ns| ns > 0)
        })
        .min()
        .map_or(1000.0, |ns| ns as f64)
}

mod clock {
    //! The core's clock, without privileges: a chain of dependent instructions of known latency.

    /// Clocks outside of this range, in MHz, are a compiler that shortened the chain or a processor with other latencies.
    #[cfg(all(target_arch = "x86_64", not(debug_assertions)))]
    const PLAUSIBLE: std::ops::RangeInclusive<f64> = 300.0..=8_000.0;

    /// One link of the chain takes four cycles on the x86-64 cores of servers and desktops: a 32-bit multiplication (3) and an
    /// exclusive or (1). The two do not distribute over each other, so no compiler can fold several links into one.
    #[cfg(all(target_arch = "x86_64", not(debug_assertions)))]
    pub fn mhz() -> Option<f64> {
        const LINKS: u32 = 4_000;
        const CYCLES_PER_LINK: f64 = 4.0;
        // An interrupt can only lengthen a pass, so the fastest of a few is the right one.
        let fastest = (0..3)
            .map(|pass| {
                let start = std::time::Instant::now();
                let mut x: u32 = std::hint::black_box(pass);
                for _ in 0..LINKS {
                    x = x.wrapping_mul(0x4c95_7f2d) ^ 0x1405_7b7f;
                }
                std::hint::black_box(x);
                start.elapsed().as_nanos()
            })
            .min()?;
        let mhz = f64::from(LINKS) * CYCLES_PER_LINK * 1e3 / fastest as f64;
        // A tenth of a megahertz is more than the timer can tell.
        PLAUSIBLE.contains(&mhz).then(|| (mhz * 10.0).round() / 10.0)
    }

    /// Latencies are known for optimised x86-64 code alone.
    #[cfg(not(all(target_arch = "x86_64", not(debug_assertions))))]
    pub fn mhz() -> Option<f64> {
        None
    }
}

/// Copies of the operands at most. Tiny problems then rotate through less than the last-level cache; their records say through how
/// many copies.
const MAX_COPIES: u64 = 1 << 16;

/// The host's processor.
#[derive(Debug)]
pub struct CpuDevice {
    info: DeviceInfo,
}

impl CpuDevice {
    /// Opens it; this cannot fail.
    pub fn new() -> Self {
        CpuDevice { info: info() }
    }
}

impl Default for CpuDevice {
    fn default() -> Self {
        CpuDevice::new()
    }
}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn free_bytes(&self) -> u64 {
        crate::host::available_bytes()
    }

    fn prepare(&self, job: &Job<'_>) -> Result<Box<dyn Prepared>, DeviceError> {
        let problem = *job.problem;
        let kernel = cpu_kernel();
        if !kernel.variants.iter().any(|v| v.takes_form(&problem)) {
            return Err(DeviceError::Form { kernel: kernel.name.clone(), form: problem.form() });
        }
        // One copy, and the FP32 working set.
        let one = problem.footprint_bytes();
        let wide: u64 =
            Operand::ALL.iter().map(|&o| (problem.placement(o).offset + problem.placement(o).span()) * 4).sum();
        // Padding is not read, so it does not displace anything from a cache: only values count as rotated.
        let values: u64 = Operand::ALL
            .iter()
            .map(|&o| problem.element_bytes(o) * problem.placement(o).rows * problem.placement(o).cols)
            .sum();
        let copies = match job.rotate_bytes {
            0 => 1,
            bytes => (bytes / values.max(1) + 1).clamp(2, MAX_COPIES),
        };
        let kept = if problem.beta == 0.0 { 0 } else { problem.placement(Operand::C).span() * problem.dtype.c_bytes() };
        let needed_bytes =
            (one + 3 * BASE_ALIGN_BYTES).saturating_mul(copies).saturating_add(wide).saturating_add(kept);
        // A quarter stays free for the reference and for everybody else.
        let free_bytes = self.free_bytes() / 4 * 3;
        if needed_bytes > free_bytes {
            return Err(DeviceError::OutOfMemory { needed_bytes, free_bytes });
        }
        let mut a = Matrix::new(&problem, Operand::A);
        let mut b = Matrix::new(&problem, Operand::B);
        let mut c = Matrix::new(&problem, Operand::C);
        a.fill(job, Operand::A);
        b.fill(job, Operand::B);
        if problem.beta != 0.0 {
            c.fill(job, Operand::C);
        }
        let pristine_c = c.clone();
        let wide = |o| Wide::new(problem.placement(o));
        Ok(Box::new(CpuProblem {
            wide: [wide(Operand::A), wide(Operand::B), wide(Operand::C)],
            copies: (0..copies).map(|_| [a.clone(), b.clone(), c.clone()]).collect(),
            pristine_c,
            problem,
            next: 0,
        }))
    }

    fn reading(&self) -> Reading {
        Reading::default()
    }
}

/// Rows in a buffer whose first element lies `offset` elements after an aligned address, between guard bands.
#[derive(Debug)]
struct Matrix {
    buffer: Vec<u8>,
    /// Byte of the buffer at which the first element lies.
    first: usize,
    scalar: Scalar,
    placement: Placement,
}

impl Matrix {
    fn new(problem: &Problem, operand: Operand) -> Self {
        let scalar = problem.scalar(operand);
        let mut matrix = Matrix::zeroed(scalar, problem.placement(operand));
        match operand {
            // Reading beside an input must show.
            Operand::A | Operand::B => {
                let pattern = scalar.hostile();
                matrix.buffer.chunks_mut(16).for_each(|part| part.copy_from_slice(&pattern[..part.len()]));
            }
            Operand::C => {
                let (poison, width) = (scalar.poison().to_le_bytes(), scalar.bytes());
                matrix.with_guards_mut().chunks_exact_mut(width).for_each(|e| e.copy_from_slice(&poison[..width]));
            }
        }
        matrix
    }

    fn zeroed(scalar: Scalar, placement: Placement) -> Self {
        let width = scalar.bytes();
        let (span, offset, guard) = (placement.span() as usize, placement.offset as usize, GUARD as usize * width);
        let buffer = vec![0; guard + BASE_ALIGN_BYTES as usize + (offset + span) * width + guard];
        let first = guard + buffer[guard..].as_ptr().align_offset(BASE_ALIGN_BYTES as usize) + offset * width;
        Matrix { buffer, first, scalar, placement }
    }

    fn fill(&mut self, job: &Job<'_>, operand: Operand) {
        let p = self.placement;
        let (rows, cols, ld) = (p.rows as usize, p.cols as usize, p.ld as usize);
        data::fill(&mut self.buffer[self.first..], rows, cols, ld, job.tables.of(operand), job.seed, operand as u32);
    }

    /// Where a row's values lie in the buffer.
    fn row(&self, row: usize) -> std::ops::Range<usize> {
        let width = self.scalar.bytes();
        let start = self.first + row * self.placement.ld as usize * width;
        start..start + self.placement.cols as usize * width
    }

    /// Everything that belongs to the matrix: its guard bands, its rows and their padding.
    fn range_with_guards(&self) -> std::ops::Range<usize> {
        let width = self.scalar.bytes();
        let guard = GUARD as usize * width;
        self.first - guard..self.first + self.placement.span() as usize * width + guard
    }

    fn with_guards(&self) -> &[u8] {
        &self.buffer[self.range_with_guards()]
    }

    fn with_guards_mut(&mut self) -> &mut [u8] {
        let range = self.range_with_guards();
        &mut self.buffer[range]
    }

    fn copy_from(&mut self, other: &Matrix) {
        self.with_guards_mut().copy_from_slice(other.with_guards());
    }

    fn host(&self) -> HostMatrix<'_> {
        let end = self.first + self.placement.span() as usize * self.scalar.bytes();
        HostMatrix { bytes: &self.buffer[self.first..end], scalar: self.scalar, placement: self.placement }
    }
}

impl Clone for Matrix {
    /// A plain copy would lie at another distance from an aligned address.
    fn clone(&self) -> Self {
        let mut copy = Matrix::zeroed(self.scalar, self.placement);
        copy.copy_from(self);
        copy
    }
}

/// The FP32 counterpart of a [`Matrix`].
#[derive(Debug)]
struct Wide {
    buffer: Vec<f32>,
    first: usize,
    placement: Placement,
}

impl Wide {
    fn new(placement: Placement) -> Self {
        let align = BASE_ALIGN_BYTES as usize / 4;
        let buffer = vec![0.0f32; align + (placement.offset + placement.span()) as usize];
        let first = buffer.as_ptr().align_offset(BASE_ALIGN_BYTES as usize) + placement.offset as usize;
        Wide { buffer, first, placement }
    }

    fn widen(&mut self, from: &Matrix) {
        let (ld, cols) = (self.placement.ld as usize, self.placement.cols as usize);
        if cols == 0 {
            return;
        }
        for row in 0..self.placement.rows as usize {
            let start = self.first + row * ld;
            let (to, source) = (&mut self.buffer[start..start + cols], &from.buffer[from.row(row)]);
            // Elements lie at multiples of their size from an aligned address, so that no cast fails.
            match from.scalar {
                Scalar::F16 => bytemuck::cast_slice::<u8, f16>(source).convert_to_f32_slice(to),
                Scalar::Bf16 => bytemuck::cast_slice::<u8, bf16>(source).convert_to_f32_slice(to),
                Scalar::F32 => to.copy_from_slice(bytemuck::cast_slice(source)),
                other => to.iter_mut().zip(other.values(source)).for_each(|(to, value)| *to = value as f32),
            }
        }
    }

    fn narrow(&self, to: &mut Matrix) {
        let (ld, cols) = (self.placement.ld as usize, self.placement.cols as usize);
        for row in 0..self.placement.rows as usize {
            let start = self.first + row * ld;
            let (from, range) = (&self.buffer[start..start + cols], to.row(row));
            let target = &mut to.buffer[range];
            match to.scalar {
                Scalar::F16 => bytemuck::cast_slice_mut::<u8, f16>(target).convert_from_f32_slice(from),
                Scalar::Bf16 => bytemuck::cast_slice_mut::<u8, bf16>(target).convert_from_f32_slice(from),
                Scalar::F32 => bytemuck::cast_slice_mut::<u8, f32>(target).copy_from_slice(from),
                other => {
                    let width = other.bytes();
                    target.chunks_exact_mut(width).zip(from).for_each(|(element, &value)| {
                        element.copy_from_slice(&other.encode(f64::from(value)).to_le_bytes()[..width]);
                    });
                }
            }
        }
    }

    fn shape(&self) -> ndarray::StrideShape<ndarray::Ix2> {
        let p = self.placement;
        // Nothing of an empty matrix is read, but its strides are held to the buffer all the same, and may lead out of it.
        let strides = if p.span() == 0 { (0, 0) } else { (p.ld as usize, 1) };
        (p.rows as usize, p.cols as usize).strides(strides)
    }

    /// The matrix as it is stored, or its transpose.
    fn view(&self, transposed: bool) -> ArrayView2<'_, f32> {
        let view =
            ArrayView2::from_shape(self.shape(), &self.buffer[self.first..]).expect("the buffer holds the matrix");
        if transposed { view.reversed_axes() } else { view }
    }

    fn view_mut(&mut self) -> ArrayViewMut2<'_, f32> {
        let shape = self.shape();
        ArrayViewMut2::from_shape(shape, &mut self.buffer[self.first..]).expect("the buffer holds the matrix")
    }
}

struct CpuProblem {
    problem: Problem,
    copies: Vec<[Matrix; 3]>,
    pristine_c: Matrix,
    wide: [Wide; 3],
    next: usize,
}

impl CpuProblem {
    fn multiply(&mut self) {
        let index = self.next;
        self.next = (self.next + 1) % self.copies.len();
        let [a, b, c] = &mut self.copies[index];
        let [wide_a, wide_b, wide_c] = &mut self.wide;
        wide_a.widen(a);
        wide_b.widen(b);
        if self.problem.beta != 0.0 {
            wide_c.widen(c);
        }
        let layout = self.problem.layout;
        let view_a = wide_a.view(layout.transposes(Operand::A));
        let view_b = wide_b.view(layout.transposes(Operand::B));
        general_mat_mul(self.problem.alpha, &view_a, &view_b, self.problem.beta, &mut wide_c.view_mut());
        wide_c.narrow(c);
    }
}

impl Prepared for CpuProblem {
    fn time(&mut self, launches: u32) -> Result<Timing, DeviceError> {
        let clock_mhz = clock::mhz();
        let start = Instant::now();
        for _ in 0..launches {
            self.multiply();
        }
        Ok(Timing { elapsed_ns: start.elapsed().as_nanos() as u64, clock_mhz })
    }

    fn launch(&mut self) -> Result<(), DeviceError> {
        self.multiply();
        Ok(())
    }

    fn reset_c(&mut self) -> Result<(), DeviceError> {
        for [_, _, c] in &mut self.copies {
            c.copy_from(&self.pristine_c);
        }
        self.next = 0;
        Ok(())
    }

    fn copies(&self) -> usize {
        self.copies.len()
    }

    fn check(&mut self, _: usize, _: &[u32], _: &ErrorBound) -> Result<Option<CheckCounts>, DeviceError> {
        Ok(None)
    }

    fn with_host_view(&mut self, copy: usize, look: &mut dyn FnMut(HostView<'_>)) -> Result<(), DeviceError> {
        let [a, b, c] = &self.copies[copy];
        look(HostView {
            a: a.host(),
            b: b.host(),
            c: c.host(),
            c_before: (self.problem.beta != 0.0).then(|| self.pristine_c.host()),
            c_buffer: c.with_guards(),
            c_start: GUARD as usize,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Distribution;
    use crate::problem::{DType, Layout};
    use crate::verify::{HostReference, check, error_bound, rows_to_check};
    use proptest::prelude::*;

    fn run(problem: &Problem, distribution: Distribution, rotate_bytes: u64) -> Result<f64, String> {
        let tables = distribution.tables(problem.dtype);
        let kernel = cpu_kernel();
        let job = Job { problem, kernel, variant: &kernel.variants[0], tables: &tables, seed: 11, rotate_bytes };
        let mut prepared = CpuDevice::new().prepare(&job).map_err(|e| e.to_string())?;
        prepared.time(prepared.copies() as u32).map_err(|e| e.to_string())?;
        let rows = rows_to_check(problem, u64::MAX, 0);
        let mut worst = 0.0f64;
        for copy in 0..prepared.copies() {
            let mut reference = HostReference::default();
            let bound = error_bound(problem, "cpu", distribution);
            let found = check(prepared.as_mut(), copy, problem, &bound, &rows, 11, &mut reference);
            worst = worst.max(found.map_err(|e| e.to_string())?.worst);
        }
        Ok(worst)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn any_shape_stride_and_offset_is_right(
            m in 1u64..40, n in 1u64..40, k in 0u64..80,
            pad in prop::array::uniform3(0u64..9), offset in prop::array::uniform3(0u64..9),
            scale in prop::sample::select(vec![(1.0f32, 0.0f32), (1.0, 1.0), (0.5, -2.0)]),
            layout in prop::sample::select(Layout::ALL.to_vec()),
            dtype in prop::sample::select(vec![DType::F16, DType::Bf16, DType::Tf32]),
        ) {
            let mut p = Problem::new(m, n, k).in_form(layout, dtype);
            (p.lda, p.ldb, p.ldc) = (p.lda + pad[0], p.ldb + pad[1], p.ldc + pad[2]);
            (p.offset_a, p.offset_b, p.offset_c) = (offset[0], offset[1], offset[2]);
            (p.alpha, p.beta) = scale;
            for distribution in [Distribution::Integers, Distribution::Normal] {
                let outcome = run(&p, distribution, 0);
                prop_assert!(outcome.is_ok(), "{p:?}: {outcome:?}");
            }
        }
    }

    #[test]
    fn without_depth_any_shape_is_scaled_c() {
        // Longer rows than the buffers of empty operands have elements.
        for (layout, dtype) in Layout::ALL.into_iter().flat_map(|l| [DType::F16, DType::Tf32].map(|d| (l, d))) {
            for (m, n) in [(1, 1000), (1000, 1), (700, 900)] {
                let mut p = Problem::new(m, n, 0).in_form(layout, dtype);
                (p.lda, p.ldb, p.beta) = (p.lda + 7, p.ldb + 3, -2.0);
                assert_eq!(run(&p, Distribution::Integers, 0), Ok(0.0), "{p:?}");
            }
        }
    }

    #[test]
    fn cold_launches_rotate_through_enough_copies() {
        let problem = Problem::new(64, 64, 64);
        let rotate_bytes = 10 * problem.footprint_bytes() + 1;
        assert!(run(&problem, Distribution::Uniform, rotate_bytes).is_ok());
        let kernel = cpu_kernel();
        let tables = Distribution::Uniform.tables(problem.dtype);
        let job =
            Job { problem: &problem, kernel, variant: &kernel.variants[0], tables: &tables, seed: 1, rotate_bytes };
        let prepared = CpuDevice::new().prepare(&job).unwrap();
        assert!(prepared.copies() as u64 * problem.footprint_bytes() > rotate_bytes);
        let wide = Problem { lda: 640, ..problem };
        let padded = CpuDevice::new().prepare(&Job { problem: &wide, ..job }).unwrap();
        assert_eq!(padded.copies(), prepared.copies(), "padding counts for nothing");
    }

    #[test]
    fn a_problem_larger_than_memory_is_refused_with_numbers() {
        let problem = Problem::new(1 << 24, 1 << 24, 1);
        let message = run(&problem, Distribution::Uniform, 0).unwrap_err();
        // Three times two vectors and a matrix of 2^48 FP16 elements, and a page for each of the three to lie at its beginning.
        let needed = 3 * (2 * (1u64 << 24) + (1 << 48)) * 2 + 3 * BASE_ALIGN_BYTES;
        assert!(message.contains(&format!("needs {needed} bytes")) && message.contains("free"), "{message}");
    }

    #[test]
    fn types_that_it_has_no_arithmetic_for_are_refused() {
        for dtype in [DType::I8, DType::E4m3] {
            let problem = Problem::new(4, 4, 4).in_form(Layout::Nt, dtype);
            let message = run(&problem, Distribution::Integers, 0).unwrap_err();
            assert!(message.contains(&format!("is not for {} in nt", dtype.name())), "{message}");
        }
    }

    #[test]
    fn bases_lie_where_the_problem_says() {
        let mut p = Problem::new(5, 6, 7);
        p.offset_b = 3;
        let b = Matrix::new(&p, Operand::B).clone();
        assert_eq!(b.buffer[b.first..].as_ptr() as usize % BASE_ALIGN_BYTES as usize, 6);
    }
}
