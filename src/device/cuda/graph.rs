//! Graphs: many launches handed to the device as one, so that the host's pace does not show in their time.

use super::context::Context;
use super::driver::Failed;
use super::library;
use cudarc::driver::sys::{CUgraph, CUgraphExec};
use std::ptr;
use std::rc::Rc;

/// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: what other threads do meanwhile is their own affair.
const THREAD_LOCAL: u32 = 1;

/// A sequence of launches, already on the device.
pub(super) struct Graph {
    context: Rc<Context>,
    exec: CUgraphExec,
}

impl Graph {
    /// Makes a graph of the launches that `queue` makes on the context's stream, and brings it to the device. Nothing
    /// runs yet.
    ///
    /// All memory that the launches reach must stay allocated as long as the graph.
    pub(super) fn capture<E: From<Failed>>(
        context: &Rc<Context>,
        queue: impl FnOnce() -> Result<(), E>,
    ) -> Result<Graph, E> {
        let driver = context.driver;
        let template = Template::capture(context, queue)?;
        let mut graph = Graph { context: Rc::clone(context), exec: ptr::null_mut() };
        // SAFETY: the template is whole; writes one handle.
        unsafe { driver.cuGraphInstantiate(&mut graph.exec, template.raw, 0) }?;
        // SAFETY: instantiated just now.
        unsafe { driver.cuGraphUpload(graph.exec, context.stream) }?;
        Ok(graph)
    }

    /// The names of the kernels that `queue` launches on the context's stream, where the driver can tell. Nothing runs.
    pub(super) fn names<E: From<Failed>>(
        context: &Rc<Context>,
        queue: impl FnOnce() -> Result<(), E>,
    ) -> Result<Option<String>, E> {
        let template = Template::capture(context, queue)?;
        // SAFETY: the capture has ended well.
        Ok(unsafe { library::kernel_names(template.raw) })
    }

    /// Queues all launches.
    pub(super) fn launch(&self) -> Result<(), Failed> {
        // SAFETY: instantiated in this context; `capture` asks for the memory to outlive it.
        unsafe { self.context.driver.cuGraphLaunch(self.exec, self.context.stream) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if !self.exec.is_null() {
            // SAFETY: made in `capture` and not used after; the driver waits for a launch that is under way.
            let _ = unsafe { self.context.driver.cuGraphExecDestroy(self.exec) };
        }
    }
}

/// What the capture left: needed only until it is instantiated.
struct Template<'a> {
    context: &'a Context,
    raw: CUgraph,
}

impl<'a> Template<'a> {
    fn capture<E: From<Failed>>(context: &'a Context, queue: impl FnOnce() -> Result<(), E>) -> Result<Self, E> {
        let driver = context.driver;
        // SAFETY: the stream lives as long as the context and is not capturing: every capture ends in this function.
        unsafe { driver.cuStreamBeginCapture(context.stream, THREAD_LOCAL) }?;
        let queued = queue();
        let mut template = Template { context, raw: ptr::null_mut() };
        // Ended whatever happened, or the stream could not be used again.
        // SAFETY: begun above; writes one handle, null where the capture broke.
        let ended = unsafe { driver.cuStreamEndCapture(context.stream, &mut template.raw) };
        queued?;
        ended?;
        Ok(template)
    }
}

impl Drop for Template<'_> {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by the capture and not used after.
            let _ = unsafe { self.context.driver.cuGraphDestroy(self.raw) };
        }
    }
}
