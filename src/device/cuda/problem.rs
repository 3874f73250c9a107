//! A problem in device memory, ready to be launched, timed and checked.

use super::check;
use super::context::Context;
use super::emulated;
use super::graph::Graph;
use super::launch::{argument, gemm_ctas};
use super::module::Function;
use super::operands::{Operands, out_of_memory};
use super::timer::Timer;
use crate::device::{CheckCounts, DeviceError, ErrorBound, HostView, Job, Prepared, Timing};
use std::collections::HashMap;
use std::rc::Rc;

/// Launches kept in graphs. Beyond this all graphs are dropped and made again: a node takes about a kilobyte on the
/// device.
const MAX_KEPT_LAUNCHES: usize = 1 << 16;

/// A prepared problem.
pub(super) struct CudaProblem {
    // Graphs go first: they use the operands.
    graphs: HashMap<Batch, Graph>,
    operands: Operands,
    context: Rc<Context>,
    timer: Rc<Timer>,
    kernel: Function,
    ctas: u32,
    /// The copy that the next launch uses.
    next: usize,
}

/// What a graph is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Batch {
    launches: u32,
    /// The copy that its first launch uses.
    first: usize,
}

impl CudaProblem {
    pub(super) fn new(context: &Rc<Context>, timer: &Rc<Timer>, job: &Job<'_>) -> Result<CudaProblem, DeviceError> {
        let ctas = gemm_ctas(job.problem, job.variant)?;
        let variant = job.variant;
        let kernel = context.function(&job.kernel.file, &variant.entry, variant.threads, variant.shared_bytes)?;
        context.reset_persisting_l2();
        Ok(CudaProblem {
            graphs: HashMap::new(),
            operands: Operands::new(context, job)?,
            context: Rc::clone(context),
            timer: Rc::clone(timer),
            kernel,
            ctas,
            next: 0,
        })
    }

    /// Makes the graph of a batch, unless it is there already.
    fn keep_graph(&mut self, batch: Batch) -> Result<(), DeviceError> {
        if self.graphs.contains_key(&batch) {
            return Ok(());
        }
        let kept: usize = self.graphs.keys().map(|kept| kept.launches as usize).sum();
        if kept + batch.launches as usize > MAX_KEPT_LAUNCHES {
            self.graphs.clear();
        }
        let graph = Graph::capture(&self.context, || {
            for launch in 0..batch.launches as usize {
                let params = self.operands.params((batch.first + launch) % self.operands.copies());
                // SAFETY: a GEMM entry takes GemmParams; the layout keeps all operands inside their allocations, which
                // outlive the graph.
                unsafe { self.context.launch(self.kernel, self.ctas, &mut [argument(&params)]) }?;
            }
            Ok(())
        })?;
        self.graphs.insert(batch, graph);
        Ok(())
    }

    /// Gives a want of memory its numbers.
    fn sized<T>(&self, result: Result<T, DeviceError>) -> Result<T, DeviceError> {
        result.map_err(|error| out_of_memory(error, &self.context, self.operands.bytes()))
    }

    fn run(&mut self, launches: u32) -> Result<Timing, DeviceError> {
        let batch = Batch { launches, first: self.next };
        self.keep_graph(batch)?;
        let timing = self.timer.time(&self.graphs[&batch], launches)?;
        self.next = (self.next + launches as usize) % self.operands.copies();
        Ok(timing)
    }
}

impl Prepared for CudaProblem {
    fn time(&mut self, launches: u32) -> Result<Timing, DeviceError> {
        self.context.bind()?;
        let timing = self.run(launches);
        self.sized(timing)
    }

    fn launch(&mut self) -> Result<(), DeviceError> {
        self.context.bind()?;
        let params = self.operands.params(self.next);
        // A GEMM writes each element of C once, whatever it does on the way.
        let [address, row_bytes, rows, pitch] = self.operands.c_bytes(self.next);
        emulated::expect_written_once(address, row_bytes, rows, pitch);
        // SAFETY: a GEMM entry takes GemmParams; the layout keeps all operands inside their allocations, which are freed only
        // after the stream is empty.
        unsafe { self.context.launch(self.kernel, self.ctas, &mut [argument(&params)]) }?;
        self.context.synchronize()?;
        self.next = (self.next + 1) % self.operands.copies();
        Ok(())
    }

    fn reset_c(&mut self) -> Result<(), DeviceError> {
        self.context.bind()?;
        self.operands.reset_c()?;
        self.context.synchronize()?;
        // So that whoever launches once after a reset finds the result in the first copy.
        self.next = 0;
        Ok(())
    }

    fn copies(&self) -> usize {
        self.operands.copies()
    }

    fn check(&mut self, copy: usize, rows: &[u32], bound: &ErrorBound) -> Result<Option<CheckCounts>, DeviceError> {
        self.context.bind()?;
        let counts = check::check(&self.context, &self.operands, copy, rows, bound);
        self.sized(counts.map(Some))
    }

    fn with_host_view(&mut self, copy: usize, look: &mut dyn FnMut(HostView<'_>)) -> Result<(), DeviceError> {
        self.context.bind()?;
        Ok(self.operands.with_host_view(copy, look)?)
    }
}
