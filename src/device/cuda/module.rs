//! Kernel images: the cubin where this build has one for the device, else PTX for the driver to compile.

use super::context::Context;
use super::driver::{Driver, Failed, OUT_OF_MEMORY, UNSUPPORTED_PTX_VERSION};
use super::gate::cuda_of_ptx;
use crate::catalog::{self, Image};
use crate::device::DeviceError;
use crate::device::absent::dotted;
use cudarc::driver::sys::{CUfunction, CUfunction_attribute, CUjit_option, CUmodule};
use std::collections::hash_map::Entry;
use std::ffi::{CString, c_int, c_void};
use std::ptr;

/// Room for what the driver's compiler has to say.
const LOG_BYTES: usize = 8192;

/// A loaded image. Lives in its context's cache and goes with the context.
pub(super) struct Module {
    driver: &'static Driver,
    raw: CUmodule,
}

/// A kernel that can be launched as long as its context lives.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) raw: CUfunction,
    /// Threads in a CTA.
    pub(super) threads: u32,
    /// Dynamic shared memory, in bytes.
    pub(super) shared_bytes: u32,
}

impl Context {
    /// The entry of a kernel file, loading the file's image at its first use.
    pub(super) fn function(
        &self,
        file: &str,
        entry: &str,
        threads: u32,
        shared_bytes: u32,
    ) -> Result<Function, DeviceError> {
        let refused = |why: String| DeviceError::Image { file: file.to_owned(), why };
        let mut modules = self.modules.borrow_mut();
        let module = match modules.entry(file.to_owned()) {
            Entry::Occupied(loaded) => loaded.into_mut(),
            Entry::Vacant(place) => {
                let image = catalog::image(file).ok_or_else(|| refused("this build has no image of it".to_owned()))?;
                place.insert(load(self, image)?)
            }
        };
        let name = CString::new(entry).map_err(|_| refused(format!("{entry:?} is not a symbol")))?;
        let mut raw = ptr::null_mut();
        // SAFETY: the module is loaded, the name ends in NUL, and one handle is written.
        unsafe { self.driver.cuModuleGetFunction(&mut raw, module.raw, name.as_ptr()) }
            .map_err(|failed| refused(format!("entry {entry}: {} ({})", failed.name, failed.code)))?;
        if shared_bytes > 0 {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as u32;
            let value = c_int::try_from(shared_bytes).unwrap_or(c_int::MAX);
            // SAFETY: the handle was just given out.
            unsafe { self.driver.cuFuncSetAttribute(raw, attribute, value) }.map_err(|failed| {
                refused(format!(
                    "entry {entry} asks for {shared_bytes} bytes of shared memory: {} ({})",
                    failed.name, failed.code
                ))
            })?;
        }
        Ok(Function { raw, threads, shared_bytes })
    }

    /// A helper kernel of the catalogue.
    pub(super) fn helper(&self, entry: &str) -> Result<Function, DeviceError> {
        let helper = catalog::catalog().helpers.iter().find(|helper| helper.entry == entry).ok_or_else(|| {
            DeviceError::Image { file: "catalog.toml".to_owned(), why: format!("it lists no helper {entry}") }
        })?;
        self.function(&helper.file, entry, helper.threads, 0)
    }
}

fn load(context: &Context, image: &Image) -> Result<Module, DeviceError> {
    for architecture in architectures(context.cc) {
        let Some(cubin) = image.cubin(&architecture) else { continue };
        match load_data(context.driver, &cubin) {
            Ok(raw) => return Ok(Module { driver: context.driver, raw }),
            Err((failed, _)) if failed.is_sticky() || failed.code == OUT_OF_MEMORY => {
                return Err(failed.into());
            }
            // Not fatal: the PTX says the same, and a driver that compiles it takes longer once.
            Err((failed, _)) => {
                log::info!("{} refuses its {architecture} cubin: {} ({})", image.file, failed.name, failed.code);
            }
        }
    }
    let ptx = CString::new(image.ptx()).map_err(|_| DeviceError::Image {
        file: image.file.to_owned(),
        why: "its PTX has a NUL inside; rebuild the program".to_owned(),
    })?;
    match load_data(context.driver, ptx.as_bytes_with_nul()) {
        Ok(raw) => Ok(Module { driver: context.driver, raw }),
        Err((failed, _)) if failed.is_sticky() || failed.code == OUT_OF_MEMORY => Err(failed.into()),
        Err((failed, log)) => {
            Err(DeviceError::Image { file: image.file.to_owned(), why: explain(&failed, &log, image) })
        }
    }
}

fn explain(failed: &Failed, log: &str, image: &Image) -> String {
    let mut why = format!("{} ({})", failed.name, failed.code);
    if failed.code == UNSUPPORTED_PTX_VERSION {
        let (major, minor) = image.ptx_version;
        let cuda = dotted(cuda_of_ptx(major, minor));
        why += &format!(
            "; its PTX {major}.{minor} needs a driver for CUDA {cuda} or later, and there is no cubin for this device"
        );
    }
    if !log.is_empty() {
        why += &format!(": {log}");
    }
    why
}

/// The real architectures whose cubins run on a device: its own, with or without architecture-specific instructions.
fn architectures(cc: u32) -> [String; 2] {
    [format!("sm_{cc}a"), format!("sm_{cc}")]
}

/// Loads an image: a whole cubin, or PTX that ends in NUL. The log goes with an error.
fn load_data(driver: &Driver, image: &[u8]) -> Result<CUmodule, (Failed, String)> {
    let mut log = vec![0u8; LOG_BYTES];
    let mut options =
        [CUjit_option::CU_JIT_ERROR_LOG_BUFFER as u32, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES as u32];
    // The size travels in the pointer's place, as the driver wants it. One byte is kept back for a NUL.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), ptr::without_provenance_mut(LOG_BYTES - 1)];
    let mut module = ptr::null_mut();
    // SAFETY: the image is whole and, where it is text, ends in NUL; a `Vec` or `CString` is aligned as malloc does,
    // which an ELF header needs. Both option arrays have two entries, and the log outlives the call.
    let loaded = unsafe {
        driver.cuModuleLoadDataEx(
            &mut module,
            image.as_ptr().cast(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    match loaded {
        Ok(()) => Ok(module),
        Err(failed) => {
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(0);
            Err((failed, String::from_utf8_lossy(&log[..end]).trim().to_owned()))
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the context binds itself before it drops its modules, and no function of this one is launched after.
        // A failure means that the context is lost, which whoever met it first has reported.
        let _ = unsafe { self.driver.cuModuleUnload(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubin_with_architecture_specific_instructions_is_preferred() {
        assert_eq!(architectures(90), ["sm_90a", "sm_90"]);
        assert_eq!(architectures(120), ["sm_120a", "sm_120"]);
    }
}
