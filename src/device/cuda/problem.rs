//! A problem in device memory, ready to be launched, timed and checked.

use super::check;
use super::context::Context;
use super::emulated;
use super::graph::Graph;
use super::library::{Call, Wanted};
use super::operands::{Operands, Workspace, out_of_memory};
use super::route::{Launch, Route, Site, route};
use super::timer::Timer;
use crate::baseline::WORKSPACE_BYTES;
use crate::catalog::{Kernel, Variant, baseline_kernel};
use crate::device::{CheckCounts, DeviceError, ErrorBound, HostView, Job, Prepared, Timing};
use crate::problem::Problem;
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
    problem: Problem,
    work: Work,
    /// The copy that the next launch uses.
    next: usize,
}

/// What multiplies.
enum Work {
    /// A kernel of the catalogue.
    Kernel { kernel: Box<Kernel>, variant: Box<Variant>, route: &'static dyn Route },
    /// The library baseline.
    Library(Box<Call>),
}

/// What a graph is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Batch {
    launches: u32,
    /// The copy that its first launch uses.
    first: usize,
}

/// The workspace that a route needs for a site.
pub(super) fn workspace(route: &dyn Route, site: &Site<'_>) -> Result<Workspace, DeviceError> {
    Ok(Workspace { bytes: route.workspace_bytes(site)?, for_each_copy: route.keeps_workspace(site.variant) })
}

impl CudaProblem {
    pub(super) fn new(context: &Rc<Context>, timer: &Rc<Timer>, job: &Job<'_>) -> Result<CudaProblem, DeviceError> {
        context.reset_persisting_l2();
        match baseline_wanted(job) {
            Some(wanted) => Self::of_library(context, timer, job, wanted),
            None => Self::of_kernel(context, timer, job),
        }
    }

    fn of_kernel(context: &Rc<Context>, timer: &Rc<Timer>, job: &Job<'_>) -> Result<CudaProblem, DeviceError> {
        let (site, route) = (Site::of(context, job), route(job.variant)?);
        let need = workspace(route, &site)?;
        let prepared = CudaProblem {
            graphs: HashMap::new(),
            operands: Operands::new(context, job, need)?,
            context: Rc::clone(context),
            timer: Rc::clone(timer),
            problem: *job.problem,
            work: Work::Kernel { kernel: Box::new(job.kernel.clone()), variant: Box::new(job.variant.clone()), route },
            next: 0,
        };
        // What cannot be launched is told here, and not in the middle of a measurement.
        prepared.launches(0)?;
        for copy in 0..prepared.copies() {
            let (params, workspace) = (prepared.operands.params(copy), prepared.operands.workspace(copy));
            for launch in route.once(&site, params, workspace)? {
                // SAFETY: as in `queue`.
                unsafe { launch.queue(context) }?;
            }
            if !need.for_each_copy {
                break;
            }
        }
        context.synchronize()?;
        Ok(prepared)
    }

    fn of_library(
        context: &Rc<Context>,
        timer: &Rc<Timer>,
        job: &Job<'_>,
        wanted: Wanted,
    ) -> Result<CudaProblem, DeviceError> {
        let operands = Operands::new(context, job, Workspace { bytes: WORKSPACE_BYTES as u64, for_each_copy: false })?;
        let mut call = Call::new(job.problem, &operands.params(0))?;
        let copies: Vec<_> = (0..operands.copies()).map(|copy| operands.params(copy)).collect();
        // SAFETY: the parameters are those of the operands, which outlive the call, and the workspace is theirs too.
        unsafe { call.settle(wanted, context, timer, &copies, operands.workspace(0)) }?;
        operands.reset_c()?;
        context.synchronize()?;
        Ok(CudaProblem {
            graphs: HashMap::new(),
            operands,
            context: Rc::clone(context),
            timer: Rc::clone(timer),
            problem: *job.problem,
            work: Work::Library(Box::new(call)),
            next: 0,
        })
    }

    /// What one run of a kernel on a copy of the operands consists of; nothing for the library, which launches by itself.
    fn launches(&self, copy: usize) -> Result<Vec<Launch>, DeviceError> {
        let Work::Kernel { kernel, variant, route } = &self.work else { return Ok(Vec::new()) };
        let site = Site { context: &self.context, problem: &self.problem, kernel, variant };
        route.launches(&site, self.operands.params(copy), self.operands.workspace(copy))
    }

    /// Queues one run on a copy of the operands.
    fn queue(&self, copy: usize) -> Result<(), DeviceError> {
        self.queue_and(copy, |_| ())
    }

    /// The same, with something to do before a kernel's launches, given their number.
    fn queue_and(&self, copy: usize, before: impl FnOnce(usize)) -> Result<(), DeviceError> {
        if let Work::Library(call) = &self.work {
            let (params, workspace) = (self.operands.params(copy), self.operands.workspace(copy));
            // SAFETY: the operands and their workspace are freed only after the stream is empty and after the graphs are gone.
            return unsafe { call.queue(&self.context, &params, workspace) };
        }
        let launches = self.launches(copy)?;
        // SAFETY: a route gives each kernel the parameters of its source; the layout keeps all operands inside their
        // allocations, which are freed only after the stream is empty and after the graphs are gone.
        let queue = |launch: &Launch| unsafe { launch.queue(&self.context) };
        before(launches.len());
        Ok(launches.iter().try_for_each(queue)?)
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
            (0..batch.launches as usize).try_for_each(|run| self.queue((batch.first + run) % self.operands.copies()))
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
        let [address, row_bytes, rows, pitch] = self.operands.c_bytes(self.next);
        self.queue_and(self.next, |launches| emulated::expect_written_once(address, row_bytes, rows, pitch, launches))?;
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

    fn workspace_bytes(&self) -> u64 {
        self.operands.workspace_bytes()
    }

    fn chosen(&self) -> Option<String> {
        match &self.work {
            Work::Library(call) => Some(call.describe()),
            Work::Kernel { .. } => None,
        }
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

/// Which algorithm of the library a job asks for; `None` where it asks for a kernel of the catalogue.
pub(super) fn baseline_wanted(job: &Job<'_>) -> Option<Wanted> {
    let baseline = baseline_kernel();
    let wanted = if job.variant.name == "first" { Wanted::First } else { Wanted::Best };
    (job.kernel.name == baseline.name).then_some(wanted)
}
