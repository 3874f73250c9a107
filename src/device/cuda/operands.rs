//! The operands of a problem in device memory: filled, poisoned, copied, and brought back to the host.

use super::context::Context;
use super::driver::{Failed, OUT_OF_MEMORY};
use super::launch::{FillParams, GemmParams, argument};
use super::layout::Layout;
use super::memory::Buffer;
use crate::device::{DeviceError, HostMatrix, HostView, Job, POISON};
use crate::problem::{BASE_ALIGN_BYTES, Operand, Problem};
use std::rc::Rc;

/// A, B and C of every copy.
pub(super) struct Operands {
    problem: Problem,
    layout: Layout,
    /// A and B.
    inputs: Buffer,
    /// C.
    results: Buffer,
    /// The first copy of C as it was at first, where beta is not 0.
    pristine: Option<Buffer>,
    /// Bytes of all of these.
    bytes: u64,
}

impl Operands {
    /// Allocates and fills. The device is idle afterwards.
    pub(super) fn new(context: &Rc<Context>, job: &Job<'_>) -> Result<Operands, DeviceError> {
        let free_bytes = context.free_bytes()?;
        let needed_bytes = needed_bytes(job);
        // Asked before allocating: a driver that is short of memory may move other processes' data out before it
        // refuses.
        let layout = match Layout::new(job.problem, job.rotate_bytes) {
            Some(layout) if needed_bytes <= free_bytes => layout,
            _ => return Err(DeviceError::OutOfMemory { needed_bytes, free_bytes }),
        };
        let pristine_bytes = (job.problem.beta != 0.0).then_some(layout.results_stride);
        let operands = Operands {
            problem: *job.problem,
            layout,
            inputs: Buffer::new(context, layout.inputs_bytes().unwrap_or(u64::MAX))?,
            results: Buffer::new(context, layout.results_bytes().unwrap_or(u64::MAX))?,
            pristine: pristine_bytes.map(|bytes| Buffer::new(context, bytes)).transpose()?,
            bytes: needed_bytes,
        };
        operands.fill(context, job)?;
        Ok(operands)
    }

    fn fill(&self, context: &Context, job: &Job<'_>) -> Result<(), DeviceError> {
        let layout = &self.layout;
        let table = Buffer::new(self.inputs.context(), size_of_val(job.table) as u64)?;
        table.upload(0, job.table)?;
        let (inputs, results) = (base(&self.inputs), base(&self.results));
        self.inputs.fill_u16(inputs, POISON, layout.inputs_stride / 2)?;
        self.results.fill_u16(results, POISON, layout.results_stride / 2)?;
        self.draw(context, job, &table, Operand::A, self.inputs.address() + inputs + layout.a)?;
        self.draw(context, job, &table, Operand::B, self.inputs.address() + inputs + layout.b)?;
        if let Some(pristine) = &self.pristine {
            self.draw(context, job, &table, Operand::C, self.results.address() + results + layout.c(&self.problem))?;
            pristine.copy_from(0, &self.results, results, layout.results_stride)?;
        }
        self.inputs.repeat(inputs, layout.inputs_stride, layout.copies)?;
        self.results.repeat(results, layout.results_stride, layout.copies)?;
        // The table goes when this returns.
        context.synchronize()?;
        Ok(())
    }

    /// Queues filling the first copy of an operand, whose first element is at `dst`, with the generator's values.
    fn draw(
        &self,
        context: &Context,
        job: &Job<'_>,
        table: &Buffer,
        operand: Operand,
        dst: u64,
    ) -> Result<(), DeviceError> {
        let p = self.problem.placement(operand);
        if p.span() == 0 {
            return Ok(());
        }
        let params = FillParams {
            dst,
            ld: p.ld as i64,
            table: table.address(),
            rows: p.rows as u32,
            cols: p.cols as u32,
            seed: job.seed,
            operand: operand as u32,
            reserved: 0,
        };
        let function = context.helper("fill_from_table")?;
        let ctas = context.ctas_for(p.rows * p.cols.div_ceil(8), function);
        // SAFETY: fill_from_table(FillParams); the layout keeps the operand inside its allocation, the table has 65 536
        // entries, and the caller waits before the table goes.
        unsafe { context.launch(function, ctas, &mut [argument(&params)]) }?;
        Ok(())
    }

    /// Queues putting every copy of C back to what it was at first.
    pub(super) fn reset_c(&self) -> Result<(), Failed> {
        let (layout, at) = (&self.layout, base(&self.results));
        match &self.pristine {
            None => self.results.fill_u16(at, POISON, layout.results_stride / 2 * layout.copies),
            Some(pristine) => {
                self.results.copy_from(at, pristine, 0, layout.results_stride)?;
                self.results.repeat(at, layout.results_stride, layout.copies)
            }
        }
    }

    /// Copies of the operands.
    pub(super) fn copies(&self) -> usize {
        self.layout.copies as usize
    }

    /// Bytes of device memory that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a GEMM kernel takes for one copy.
    pub(super) fn params(&self, copy: usize) -> GemmParams {
        let (p, layout, copy) = (&self.problem, &self.layout, copy as u64);
        assert!(copy < layout.copies, "copy {copy} of {}", layout.copies);
        let inputs = self.inputs.address() + base(&self.inputs) + copy * layout.inputs_stride;
        let results = self.results.address() + base(&self.results) + copy * layout.results_stride;
        GemmParams {
            a: inputs + layout.a,
            b: inputs + layout.b,
            c: results + layout.c(p),
            lda: p.lda as i64,
            ldb: p.ldb as i64,
            ldc: p.ldc as i64,
            m: p.m as u32,
            n: p.n as u32,
            k: p.k as u32,
            alpha: p.alpha,
            beta: p.beta,
            reserved: 0,
        }
    }

    /// One copy's C in bytes: its address, a row's bytes, rows, and bytes from row to row.
    pub(super) fn c_bytes(&self, copy: usize) -> [u64; 4] {
        let (c, element) = (self.problem.placement(Operand::C), self.problem.dtype.bytes());
        [self.params(copy).c, c.cols * element, c.rows, c.ld * element]
    }

    /// Address of C's first element as it was before the launches; 0 where beta is 0.
    pub(super) fn c_before(&self) -> u64 {
        self.pristine.as_ref().map_or(0, |pristine| pristine.address() + self.layout.c(&self.problem))
    }

    /// Elements in C's guard band in front, offset included.
    pub(super) fn guard_before(&self) -> u64 {
        self.layout.c_start
    }

    /// Downloads one copy and shows it.
    pub(super) fn with_host_view(&self, copy: usize, look: &mut dyn FnMut(HostView<'_>)) -> Result<(), Failed> {
        let (layout, element) = (&self.layout, self.problem.dtype.bytes());
        assert!((copy as u64) < layout.copies, "copy {copy} of {}", layout.copies);
        let placement = |operand| self.problem.placement(operand);
        let input = |operand, start: u64| -> Result<Vec<u16>, Failed> {
            let mut bits = vec![0; placement(operand).span() as usize];
            self.inputs.download(base(&self.inputs) + copy as u64 * layout.inputs_stride + start, &mut bits)?;
            Ok(bits)
        };
        let (a, b) = (input(Operand::A, layout.a)?, input(Operand::B, layout.b)?);
        let mut c_buffer = vec![0; layout.c_buffer_len as usize];
        self.results
            .download(base(&self.results) + copy as u64 * layout.results_stride + layout.c_buffer, &mut c_buffer)?;
        let c_before = match &self.pristine {
            None => None,
            Some(pristine) => {
                let mut bits = vec![0; placement(Operand::C).span() as usize];
                pristine.download(layout.c_buffer + layout.c_start * element, &mut bits)?;
                Some(bits)
            }
        };
        let c_start = layout.c_start as usize;
        let matrix = |bits, operand| HostMatrix { bits, placement: placement(operand) };
        look(HostView {
            a: matrix(&a, Operand::A),
            b: matrix(&b, Operand::B),
            c: matrix(&c_buffer[c_start..][..placement(Operand::C).span() as usize], Operand::C),
            c_before: c_before.as_deref().map(|bits| matrix(bits, Operand::C)),
            c_buffer: &c_buffer,
            c_start,
        });
        Ok(())
    }
}

/// Bytes of device memory that a job takes; more than there can be where they do not fit in 64 bits.
pub(super) fn needed_bytes(job: &Job<'_>) -> u64 {
    let needed = || -> Option<u64> {
        let layout = Layout::new(job.problem, job.rotate_bytes)?;
        let pristine = if job.problem.beta == 0.0 { 0 } else { layout.results_stride };
        let table = size_of_val(job.table) as u64;
        layout.inputs_bytes()?.checked_add(layout.results_bytes()?)?.checked_add(pristine)?.checked_add(table)
    };
    needed().unwrap_or(u64::MAX)
}

/// Bytes from an allocation's start to the first aligned address in it.
fn base(buffer: &Buffer) -> u64 {
    buffer.address().next_multiple_of(BASE_ALIGN_BYTES) - buffer.address()
}

/// Gives a refusal of the driver for want of memory its numbers; leaves other errors as they are.
pub(super) fn out_of_memory(error: DeviceError, context: &Context, needed_bytes: u64) -> DeviceError {
    match error {
        DeviceError::Driver { name, .. } if name.ends_with(&format!("({OUT_OF_MEMORY})")) => {
            DeviceError::OutOfMemory { needed_bytes, free_bytes: context.free_bytes().unwrap_or(0) }
        }
        other => other,
    }
}
