//! The library baseline on this device: cuBLASLt planned for a prepared problem, one of its algorithms chosen.

use super::context::Context;
use super::driver::{SUCCESS, find};
use super::emulated;
use super::graph::Graph;
use super::launch::GemmParams;
use super::timer::Timer;
use crate::baseline::{self, Algorithm, BaselineError, Plan};
use crate::device::DeviceError;
use crate::problem::Problem;
use cudarc::driver::sys::{CUfunction, CUgraph, CUgraphNode};
use std::ffi::{CStr, c_char, c_uint, c_void};
use std::rc::Rc;

/// Times that each algorithm is measured, the algorithms in turn.
const ROUNDS: usize = 7;
/// Device time that one of these measurements aims at.
const ROUND_NS: u64 = 1_000_000;
/// Launches that one of them takes at most.
const ROUND_LAUNCHES: u64 = 64;

/// Which of the library's algorithms is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What its own search puts first: what a framework gets.
    First,
    /// The fastest of those that its search offers, by measurement.
    Best,
}

/// The library's multiplication of one problem.
pub(super) struct Call {
    plan: Plan,
    algorithm: Algorithm,
    version: String,
    kernels: Option<String>,
}

impl Call {
    /// Plans a problem whose first copy has these parameters.
    pub(super) fn new(problem: &Problem, params: &GemmParams) -> Result<Call, DeviceError> {
        // Someone who names a library may have one that an emulated device runs.
        if emulated::library().is_some() && std::env::var_os(baseline::VARIABLE).is_none() {
            return Err(BaselineError::Emulated.into());
        }
        let library = baseline::open()?;
        let plan = Plan::new(library, problem, params.a, params.b, params.c)?;
        // A plan has at least one.
        let algorithm = plan.algorithms()[0].clone();
        Ok(Call { plan, algorithm, version: library.version(), kernels: None })
    }

    /// Queues it on a copy of the operands.
    ///
    /// # Safety
    /// The parameters are those of a copy of the problem's operands, `workspace` has [`baseline::WORKSPACE_BYTES`], and both stay
    /// allocated until the stream has run it, or as long as a graph that it is captured into.
    pub(super) unsafe fn queue(
        &self,
        context: &Context,
        params: &GemmParams,
        workspace: u64,
    ) -> Result<(), DeviceError> {
        // SAFETY: passed on to the caller; the stream lives as long as the context.
        unsafe { self.queue_with(&self.algorithm, context, params, workspace) }
    }

    unsafe fn queue_with(
        &self,
        algorithm: &Algorithm,
        context: &Context,
        params: &GemmParams,
        workspace: u64,
    ) -> Result<(), DeviceError> {
        let operands = [params.a, params.b, params.c];
        // SAFETY: passed on to the caller.
        unsafe { self.plan.run(algorithm, operands, workspace, context.stream.cast()) }?;
        Ok(())
    }

    /// Settles on an algorithm: measures each in turn on all copies of the operands, several times, and keeps the one with the
    /// lowest median. Those that fail are left out.
    ///
    /// # Safety
    /// As [`Call::queue`], for the parameters of each copy.
    pub(super) unsafe fn settle(
        &mut self,
        wanted: Wanted,
        context: &Rc<Context>,
        timer: &Timer,
        copies: &[GemmParams],
        workspace: u64,
    ) -> Result<(), DeviceError> {
        // An emulated device has no time to choose by.
        if wanted == Wanted::Best && emulated::library().is_none() {
            let mut raced = Vec::new();
            for algorithm in self.plan.algorithms() {
                let graph = |launches: usize| {
                    Graph::capture(context, || {
                        (0..launches).try_for_each(|i| {
                            // SAFETY: passed on to the caller.
                            unsafe { self.queue_with(algorithm, context, &copies[i % copies.len()], workspace) }
                        })
                    })
                };
                let once = || -> Result<u64, DeviceError> { Ok(timer.time(&graph(2)?, 2)?.elapsed_ns / 2) };
                // The first launch of a kernel loads it.
                match once().and_then(|_| once()) {
                    Ok(ns) => {
                        let launches = (ROUND_NS / ns.max(1)).clamp(1, ROUND_LAUNCHES) as usize;
                        raced.push((algorithm, graph(launches)?, launches as u32, Vec::with_capacity(ROUNDS)));
                    }
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => log::warn!("cuBLASLt {algorithm} is left out: {error}"),
                }
            }
            for _ in 0..ROUNDS {
                for (_, graph, launches, times) in &mut raced {
                    times.push(timer.time(graph, *launches)?.elapsed_ns / u64::from(*launches));
                }
            }
            let median = |times: &[u64]| {
                let mut sorted = times.to_vec();
                sorted.sort_unstable();
                sorted.get(sorted.len() / 2).copied()
            };
            if let Some((best, ..)) = raced.iter().min_by_key(|(_, _, _, times)| median(times)) {
                self.algorithm = (*best).clone();
            }
        }
        // SAFETY: passed on to the caller.
        self.kernels = Graph::names(context, || unsafe { self.queue(context, &copies[0], workspace) })?;
        Ok(())
    }

    /// What runs, for the record: the library's version, the algorithm, and the kernels where the driver names them.
    pub(super) fn describe(&self) -> String {
        let offered = self.plan.algorithms().len();
        let kernels = self.kernels.as_ref().map(|names| format!(", kernels {names}")).unwrap_or_default();
        format!("cuBLASLt {}, {} of {offered}{kernels}", self.version, self.algorithm)
    }
}

/// `CU_GRAPH_NODE_TYPE_KERNEL`.
const KERNEL_NODE: c_uint = 0;

/// `CUDA_KERNEL_NODE_PARAMS_v2`.
#[repr(C)]
struct KernelNode {
    function: CUfunction,
    shape: [c_uint; 7],
    params: *mut c_void,
    extra: *mut c_void,
    kernel: *mut c_void,
    context: *mut c_void,
}
const _: () = assert!(size_of::<KernelNode>() == 72);

type GetNodes = unsafe extern "C" fn(CUgraph, *mut CUgraphNode, *mut usize) -> c_uint;
type GetType = unsafe extern "C" fn(CUgraphNode, *mut c_uint) -> c_uint;
type GetParams = unsafe extern "C" fn(CUgraphNode, *mut KernelNode) -> c_uint;
type GetName = unsafe extern "C" fn(*mut *const c_char, *mut c_void) -> c_uint;

/// The names of a graph's kernels, in the order of its nodes; `None` where the driver is too old to say.
///
/// # Safety
/// The graph is whole.
pub(super) unsafe fn kernel_names(graph: CUgraph) -> Option<String> {
    // SAFETY: the signatures of cuda.h; the driver's library is open, since there is a graph.
    let (nodes, kind, params, function_name, kernel_name) = unsafe {
        (
            find::<GetNodes>("cuGraphGetNodes").ok()?,
            find::<GetType>("cuGraphNodeGetType").ok()?,
            find::<GetParams>("cuGraphKernelNodeGetParams_v2").ok()?,
            find::<GetName>("cuFuncGetName").ok()?,
            find::<GetName>("cuKernelGetName").ok()?,
        )
    };
    let mut count = 0;
    // SAFETY: a null list asks for the count.
    unsafe { nodes(graph, std::ptr::null_mut(), &mut count) };
    let mut list: Vec<CUgraphNode> = vec![std::ptr::null_mut(); count];
    // SAFETY: room for as many as there are.
    if unsafe { nodes(graph, list.as_mut_ptr(), &mut count) } != SUCCESS {
        return None;
    }
    let mut names = Vec::new();
    for node in list {
        let mut what = c_uint::MAX;
        // SAFETY: a node of the graph; writes one number.
        if unsafe { kind(node, &mut what) } != SUCCESS || what != KERNEL_NODE {
            continue;
        }
        // SAFETY: null pointers and zeros are a valid value of it.
        let mut launch: KernelNode = unsafe { std::mem::zeroed() };
        // SAFETY: a kernel node; writes the struct.
        if unsafe { params(node, &mut launch) } != SUCCESS {
            return None;
        }
        let mut name = std::ptr::null();
        // SAFETY: one of the two handles is set, and each function writes a pointer to a constant string.
        let code = unsafe {
            if launch.function.is_null() {
                kernel_name(&mut name, launch.kernel)
            } else {
                function_name(&mut name, launch.function.cast())
            }
        };
        if code != SUCCESS || name.is_null() {
            return None;
        }
        // SAFETY: the driver's string is NUL-terminated and lives as long as the kernel.
        names.push(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    }
    (!names.is_empty()).then(|| names.join(" + "))
}
