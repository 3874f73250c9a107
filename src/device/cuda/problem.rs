//! A problem in device memory, ready to be launched, timed and checked.

use super::check;
use super::context::Context;
use super::graph::Graph;
use super::operands::{Operands, Workspace, out_of_memory};
use super::route::{Launch, Route, Site, route};
use super::timer::Timer;
use crate::catalog::{Kernel, Variant};
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
    kernel: Kernel,
    variant: Variant,
    route: &'static dyn Route,
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

/// The workspace that a route needs for a site.
pub(super) fn workspace(route: &dyn Route, site: &Site<'_>) -> Result<Workspace, DeviceError> {
    Ok(Workspace { bytes: route.workspace_bytes(site)?, for_each_copy: route.keeps_workspace(site.variant) })
}

impl CudaProblem {
    pub(super) fn new(context: &Rc<Context>, timer: &Rc<Timer>, job: &Job<'_>) -> Result<CudaProblem, DeviceError> {
        let (site, route) = (Site::of(context, job), route(job.variant)?);
        let need = workspace(route, &site)?;
        context.reset_persisting_l2();
        let prepared = CudaProblem {
            graphs: HashMap::new(),
            operands: Operands::new(context, job, need)?,
            context: Rc::clone(context),
            timer: Rc::clone(timer),
            problem: *job.problem,
            kernel: job.kernel.clone(),
            variant: job.variant.clone(),
            route,
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

    /// What one run on a copy of the operands consists of.
    fn launches(&self, copy: usize) -> Result<Vec<Launch>, DeviceError> {
        let CudaProblem { context, problem, kernel, variant, .. } = self;
        let site = Site { context, problem, kernel, variant };
        self.route.launches(&site, self.operands.params(copy), self.operands.workspace(copy))
    }

    /// Queues one run on a copy of the operands.
    fn queue(&self, copy: usize) -> Result<(), DeviceError> {
        for launch in self.launches(copy)? {
            // SAFETY: a route gives each kernel the parameters of its source; the layout keeps all operands inside their
            // allocations, which are freed only after the stream is empty and after the graphs are gone.
            unsafe { launch.queue(&self.context) }?;
        }
        Ok(())
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
        self.queue(self.next)?;
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
