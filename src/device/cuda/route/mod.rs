//! Routes: how a variant becomes launches. Each has a file of its own, and the catalogue names it.

mod absorb;
mod direct;
mod gemv;
mod pack;
mod residue;
mod split_k;
mod tma;

use super::context::Context;
use super::driver::Failed;
use super::launch::GemmParams;
use super::module::Function;
use crate::catalog::{Kernel, Variant};
use crate::device::{DeviceError, Job};
use crate::problem::Problem;
use bytemuck::NoUninit;
use std::ffi::c_void;
use std::rc::Rc;

/// What a route works from. The device's figures and the kernels' functions come from the context.
pub(super) struct Site<'a> {
    pub context: &'a Rc<Context>,
    pub problem: &'a Problem,
    pub kernel: &'a Kernel,
    pub variant: &'a Variant,
}

impl<'a> Site<'a> {
    /// The place of a job.
    pub(super) fn of(context: &'a Rc<Context>, job: &Job<'a>) -> Self {
        Site { context, problem: job.problem, kernel: job.kernel, variant: job.variant }
    }

    /// The variant's function for the problem's type and layout.
    pub(super) fn function(&self) -> Result<Function, DeviceError> {
        let Variant { threads, shared_bytes, .. } = *self.variant;
        let symbol = self.variant.symbol_for(self.problem);
        self.context.function(&self.kernel.file_for(self.problem.dtype.name()), &symbol, threads, shared_bytes)
    }
}

/// Turns a problem into launches.
///
/// Everything that a launch needs is made by [`Route::launches`], so that the same problem on another copy of its operands, at
/// other addresses, is another call.
pub(super) trait Route: Sync {
    /// Bytes of device memory that the launches work in, besides the operands. It is allocated once for a prepared problem, at a
    /// multiple of 4096, and holds anything at first.
    fn workspace_bytes(&self, site: &Site<'_>) -> Result<u64, DeviceError>;

    /// The launches for one copy of the operands, in their order on the stream; they are timed together.
    fn launches(&self, site: &Site<'_>, params: GemmParams, workspace: u64) -> Result<Vec<Launch>, DeviceError>;

    /// Whether the workspace holds something from one run to the next, so that each copy of the operands needs one of its own.
    fn keeps_workspace(&self, _: &Variant) -> bool {
        false
    }

    /// What has to be launched once for a copy of the operands, when the problem is prepared. No time counts for it.
    fn once(&self, _: &Site<'_>, _: GemmParams, _: u64) -> Result<Vec<Launch>, DeviceError> {
        Ok(Vec::new())
    }
}

/// The route that a variant names.
pub(super) fn route(variant: &Variant) -> Result<&'static dyn Route, DeviceError> {
    match variant.route.as_str() {
        "direct" => Ok(&direct::Direct),
        "gemv" => Ok(&gemv::Gemv),
        "pack" => Ok(&pack::Pack),
        "residue" => Ok(&residue::Residue),
        "split_k" => Ok(&split_k::SplitK),
        "tma" => Ok(&tma::Tma { persistent: false }),
        "persistent" => Ok(&tma::Tma { persistent: true }),
        "absorb" => Ok(&absorb::Absorb),
        other => Err(DeviceError::Image {
            file: "catalog.toml".to_owned(),
            why: format!("variant {} has the route {other:?}, which this program does not know", variant.name),
        }),
    }
}

/// One launch of a kernel.
pub(super) struct Launch {
    pub function: Function,
    /// CTAs in x, y and z.
    pub grid: [u32; 3],
    /// CTAs of a cluster, in x; 1 for none.
    pub cluster: u32,
    /// The kernel's parameters, in order.
    pub params: Vec<Param>,
}

impl Launch {
    /// Queues it.
    ///
    /// # Safety
    /// The parameters are what the kernel's source declares, and all memory that it reaches through them stays allocated until
    /// the stream has run it, or as long as a graph that it is captured into.
    pub(super) unsafe fn queue(&self, context: &Context) -> Result<(), Failed> {
        let mut arguments: Vec<*mut c_void> = self.params.iter().map(Param::pointer).collect();
        // SAFETY: the parameters outlive the call; the caller vouches for the rest.
        unsafe { context.launch_grid(self.function, self.grid, self.cluster, &mut arguments) }
    }
}

/// One parameter of a kernel: its bytes, aligned as any parameter needs, tensor maps included.
pub(super) struct Param(Vec<Block>);

#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct Block([u8; 128]);

impl Param {
    /// Copies a value's bytes.
    pub(super) fn new<T: NoUninit>(value: &T) -> Self {
        let pad = |part: &[u8]| {
            let mut block = Block([0; 128]);
            block.0[..part.len()].copy_from_slice(part);
            block
        };
        Param(bytemuck::bytes_of(value).chunks(128).map(pad).collect())
    }

    fn pointer(&self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ROUTES;

    #[test]
    fn every_route_of_the_catalogue_is_known() {
        let with = |name: &str| Variant { route: name.to_owned(), ..Variant::default() };
        assert!(ROUTES.iter().all(|name| route(&with(name)).is_ok()));
        let why = route(&with("detour")).err().unwrap().to_string();
        assert!(why.contains("\"detour\""), "{why}");
    }

    #[test]
    fn parameters_keep_their_bytes_at_an_aligned_address() {
        let value: [u32; 50] = std::array::from_fn(|i| i as u32);
        let param = Param::new(&value);
        assert_eq!(param.pointer() as usize % 128, 0);
        let kept: Vec<u8> = param.0.iter().flat_map(|block| block.0).collect();
        assert_eq!(kept[..200], *bytemuck::bytes_of(&value));
    }
}
