//! The operands of a problem in device memory: filled, poisoned, copied, and brought back to the host.

use super::context::Context;
use super::driver::{Failed, OUT_OF_MEMORY};
use super::launch::{FillParams, GemmParams, argument};
use super::layout::Layout;
use super::memory::Buffer;
use crate::device::{DeviceError, HostMatrix, HostView, Job};
use crate::problem::{BASE_ALIGN_BYTES, Operand, Problem};
use std::rc::Rc;

/// A, B and C of every copy, and the workspace of the kernels that work on them.
pub(super) struct Operands {
    problem: Problem,
    layout: Layout,
    /// A and B.
    inputs: Buffer,
    /// C.
    results: Buffer,
    /// The first copy of C as it was at first, where beta is not 0.
    pristine: Option<Buffer>,
    /// What kernels work in.
    workspace: Option<Buffer>,
    need: Workspace,
    /// Bytes of all of these.
    bytes: u64,
}

/// The workspace that a route asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Workspace {
    /// Bytes of one.
    pub bytes: u64,
    /// Each copy of the operands has one of its own. Otherwise one serves all, since launches come one after the other.
    pub for_each_copy: bool,
}

impl Workspace {
    /// From one to the next; `None` where it does not fit in 64 bits.
    fn stride(self) -> Option<u64> {
        self.bytes.checked_next_multiple_of(BASE_ALIGN_BYTES)
    }

    /// Bytes of all of them.
    fn total(self, copies: u64) -> Option<u64> {
        if self.for_each_copy { self.stride()?.checked_mul(copies) } else { Some(self.bytes) }
    }
}

impl Operands {
    /// Allocates and fills, and allocates a workspace. The device is idle afterwards.
    pub(super) fn new(context: &Rc<Context>, job: &Job<'_>, need: Workspace) -> Result<Operands, DeviceError> {
        let free_bytes = context.free_bytes()?;
        let needed_bytes = needed_bytes(job, need);
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
            workspace: match need.total(layout.copies).unwrap_or(u64::MAX) {
                0 => None,
                bytes => Some(Buffer::new(context, bytes.saturating_add(BASE_ALIGN_BYTES))?),
            },
            need,
            bytes: needed_bytes,
        };
        operands.fill(context, job)?;
        Ok(operands)
    }

    fn fill(&self, context: &Context, job: &Job<'_>) -> Result<(), DeviceError> {
        let layout = &self.layout;
        let [input, output] = [Operand::A, Operand::C].map(|operand| -> Result<Buffer, Failed> {
            let bytes = &job.tables.of(operand).bytes;
            let table = Buffer::new(self.inputs.context(), bytes.len() as u64)?;
            table.upload(0, bytes)?;
            Ok(table)
        });
        let (input, output) = (input?, output?);
        let (inputs, results) = (base(&self.inputs), base(&self.results));
        // Whatever a kernel reads beside A and B must show in C.
        let hostile = self.problem.dtype.input().hostile();
        self.inputs.upload(inputs, &hostile)?;
        self.inputs.repeat(inputs, hostile.len() as u64, layout.inputs_stride / hostile.len() as u64)?;
        self.poison_results(results, layout.results_stride)?;
        self.draw(context, job, &input, Operand::A, self.inputs.address() + inputs + layout.a)?;
        self.draw(context, job, &input, Operand::B, self.inputs.address() + inputs + layout.b)?;
        if let Some(pristine) = &self.pristine {
            self.draw(context, job, &output, Operand::C, self.results.address() + results + layout.c(&self.problem))?;
            pristine.copy_from(0, &self.results, results, layout.results_stride)?;
        }
        self.inputs.repeat(inputs, layout.inputs_stride, layout.copies)?;
        self.results.repeat(results, layout.results_stride, layout.copies)?;
        // The tables go when this returns.
        context.synchronize()?;
        Ok(())
    }

    /// Queues filling `bytes` of C's allocation, from byte `at` on, with poison.
    fn poison_results(&self, at: u64, bytes: u64) -> Result<(), Failed> {
        let output = self.problem.dtype.output();
        self.results.fill_pattern(at, output.bytes(), output.poison(), bytes)
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
        let function = context.helper(&format!("fill_from_table_{}", 8 * self.problem.element_bytes(operand)))?;
        let ctas = context.ctas_for(p.rows * p.cols.div_ceil(8), function);
        // SAFETY: fill_from_table_*(FillParams) for elements of this width; the layout keeps the operand inside its allocation, the table has 65 536
        // entries, and the caller waits before the table goes.
        unsafe { context.launch(function, ctas, &mut [argument(&params)]) }?;
        Ok(())
    }

    /// Queues putting every copy of C back to what it was at first.
    pub(super) fn reset_c(&self) -> Result<(), Failed> {
        let (layout, at) = (&self.layout, base(&self.results));
        match &self.pristine {
            None => self.poison_results(at, layout.results_stride * layout.copies),
            Some(pristine) => {
                self.results.copy_from(at, pristine, 0, layout.results_stride)?;
                self.results.repeat(at, layout.results_stride, layout.copies)
            }
        }
    }

    /// The problem that they belong to.
    pub(super) fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Copies of the operands.
    pub(super) fn copies(&self) -> usize {
        self.layout.copies as usize
    }

    /// Bytes of device memory that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the kernels' workspace for one run.
    pub(super) fn workspace_bytes(&self) -> u64 {
        self.need.bytes
    }

    /// Address of the kernels' workspace for a copy, a multiple of 4096; 0 where there is none.
    pub(super) fn workspace(&self, copy: usize) -> u64 {
        let skipped = if self.need.for_each_copy { copy as u64 * self.need.stride().unwrap_or(0) } else { 0 };
        self.workspace.as_ref().map_or(0, |buffer| buffer.address() + base(buffer) + skipped)
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
        let (c, element) = (self.problem.placement(Operand::C), self.problem.element_bytes(Operand::C));
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
        let layout = &self.layout;
        assert!((copy as u64) < layout.copies, "copy {copy} of {}", layout.copies);
        let (copy, c_bytes) = (copy as u64, self.problem.dtype.c_bytes());
        let span_bytes =
            |operand| (self.problem.placement(operand).span() * self.problem.element_bytes(operand)) as usize;
        let download = |buffer: &Buffer, at: u64, bytes: usize| -> Result<Vec<u8>, Failed> {
            let mut values = vec![0; bytes];
            buffer.download(at, &mut values)?;
            Ok(values)
        };
        let inputs = base(&self.inputs) + copy * layout.inputs_stride;
        let a = download(&self.inputs, inputs + layout.a, span_bytes(Operand::A))?;
        let b = download(&self.inputs, inputs + layout.b, span_bytes(Operand::B))?;
        let results = base(&self.results) + copy * layout.results_stride;
        let c_buffer = download(&self.results, results + layout.c_buffer, (layout.c_buffer_len * c_bytes) as usize)?;
        let pristine = self.pristine.as_ref();
        let c_before =
            pristine.map(|pristine| download(pristine, layout.c(&self.problem), span_bytes(Operand::C))).transpose()?;
        let c_start = layout.c_start as usize;
        look(HostView {
            a: self.matrix(&a, Operand::A),
            b: self.matrix(&b, Operand::B),
            c: self.matrix(&c_buffer[c_start * c_bytes as usize..][..span_bytes(Operand::C)], Operand::C),
            c_before: c_before.as_deref().map(|bytes| self.matrix(bytes, Operand::C)),
            c_buffer: &c_buffer,
            c_start,
        });
        Ok(())
    }

    fn matrix<'a>(&self, bytes: &'a [u8], operand: Operand) -> HostMatrix<'a> {
        HostMatrix { bytes, scalar: self.problem.scalar(operand), placement: self.problem.placement(operand) }
    }
}

/// Bytes of device memory that a job takes with such a workspace; more than there can be where they do not fit in 64 bits.
pub(super) fn needed_bytes(job: &Job<'_>, need: Workspace) -> u64 {
    let needed = || -> Option<u64> {
        let layout = Layout::new(job.problem, job.rotate_bytes)?;
        let pristine = if job.problem.beta == 0.0 { 0 } else { layout.results_stride };
        let tables = (job.tables.input.bytes.len() + job.tables.output.bytes.len()) as u64;
        let operands = layout.inputs_bytes()?.checked_add(layout.results_bytes()?)?.checked_add(pristine)?;
        let workspace = match need.total(layout.copies)? {
            0 => 0,
            bytes => bytes.checked_add(BASE_ALIGN_BYTES)?,
        };
        operands.checked_add(tables)?.checked_add(workspace)
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
