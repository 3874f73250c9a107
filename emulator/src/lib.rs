//! A PTX interpreter with sanitizer checks, and on top of it the CUDA driver's C interface as a shared library.
//!
//! ```
//! use gpu_emulator::{Device, Dim3, Module};
//!
//! let ptx = "
//! .version 8.0
//! .target sm_80
//! .address_size 64
//! .visible .entry twice(.param .u64 p)
//! {
//!     .reg .b32 %r<3>; .reg .b64 %rd<4>;
//!     ld.param.u64 %rd1, [p];
//!     mov.u32 %r1, %tid.x;
//!     mul.wide.u32 %rd2, %r1, 4;
//!     add.s64 %rd3, %rd1, %rd2;
//!     ld.global.u32 %r2, [%rd3];
//!     add.s32 %r2, %r2, %r2;
//!     st.global.u32 [%rd3], %r2;
//!     ret;
//! }";
//! let module = Module::load(ptx)?;
//! let mut device = Device::new();
//! let data: Vec<u8> = (0u32..32).flat_map(u32::to_le_bytes).collect();
//! let p = device.memory.alloc(128, "data")?;
//! device.memory.write(p, &data)?;
//! let report = device.launch(module.entry("twice").unwrap(), Dim3::x(1), Dim3::x(32), 0, &p.to_le_bytes())?;
//! assert!(report.clean());
//! let mut word = [0; 4];
//! device.memory.read(p + 20, &mut word)?;
//! assert_eq!(u32::from_le_bytes(word), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod alu;
mod cfg;
mod coverage;
mod decode;
mod driver;
mod error;
mod exec;
mod ins;
mod mem;
mod mma;
mod num;
mod operands;
mod order;
mod ptx;
mod race;
mod report;
mod shared;
mod tensormap;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

pub use coverage::Region;
pub use error::{LaunchError, LoadError};
pub use exec::Options;
pub use mem::{Alloc, MemError, Memory};
pub use mma::Numerics;
pub use report::{Counters, Finding, GlobalAccess, Kind, Report, SharedAccess};
pub use tensormap::TensorMap;

use decode::{Decoder, GlobalSym};
use ins::Kernel;
use ptx::VarSpace;

/// Where the variables of the first module lie; every module has a range of its own.
const MODULE_BASE: u64 = 0x6000_0000_0000;
const MODULE_STRIDE: u64 = 1 << 32;
/// Where the counter lies with which the blocks of a cooperative launch wait for one another.
const GRID_WORKSPACE: u64 = 0x5f00_0000_0000;
static NEXT_MODULE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct GlobalVar {
    name: String,
    addr: u64,
    size: u64,
    init: Vec<u8>,
    read_only: bool,
}

#[derive(Debug)]
struct ModuleInner {
    base: u64,
    files: Vec<(u32, String)>,
    vars: Vec<GlobalVar>,
    target: String,
}

/// A PTX text, decoded.
#[derive(Clone, Debug)]
pub struct Module {
    inner: Arc<ModuleInner>,
    entries: Vec<Entry>,
}

/// A kernel of a module.
#[derive(Clone, Debug)]
pub struct Entry {
    module: Arc<ModuleInner>,
    kernel: Arc<Kernel>,
}

impl Module {
    /// Parses and decodes PTX. Whatever is not understood is an error that names the line.
    pub fn load(text: &str) -> Result<Self, LoadError> {
        let o = ptx::outline(text)?;
        let base = MODULE_BASE + NEXT_MODULE.fetch_add(1, Relaxed) % 4096 * MODULE_STRIDE;
        let mut at = base;
        let mut globals = HashMap::new();
        let mut vars = Vec::new();
        for v in &o.vars {
            match v.space {
                VarSpace::Shared => {
                    globals
                        .insert(v.name.clone(), GlobalSym::Shared { size: v.size, align: v.align, dynamic: v.dynamic });
                }
                _ => {
                    at = at.div_ceil(256) * 256;
                    if v.size > MODULE_STRIDE / 2 || at + v.size > base + MODULE_STRIDE {
                        return Err(LoadError::new(0, format!("'{}' is too large", v.name)));
                    }
                    globals.insert(v.name.clone(), GlobalSym::Mem(at));
                    vars.push(GlobalVar {
                        name: v.name.clone(),
                        addr: at,
                        size: v.size,
                        init: v.init.clone(),
                        read_only: v.space == VarSpace::Const,
                    });
                    at += v.size + 256;
                }
            }
        }
        for (i, f) in o.funcs.iter().enumerate() {
            globals.entry(f.name.clone()).or_insert(GlobalSym::Func(ins::CODE_WINDOW + 16 * i as u64));
        }
        for v in o.vars.iter().filter(|v| !v.links.is_empty()) {
            for link in &v.links {
                let address = match globals.get(&link.symbol) {
                    Some(GlobalSym::Mem(a) | GlobalSym::Func(a)) => *a,
                    _ => return Err(LoadError::new(0, format!("'{}' holds the address of '{}'", v.name, link.symbol))),
                };
                if let Some(x) = vars.iter_mut().find(|x: &&mut GlobalVar| x.name == v.name)
                    && let Some(to) = x.init.get_mut(link.at..link.at + link.bytes)
                {
                    to.copy_from_slice(&link.value(address).to_le_bytes()[..link.bytes]);
                }
            }
        }
        let mut kernels = Vec::new();
        for f in o.funcs.iter().filter(|f| f.entry && f.has_body) {
            kernels.push(Arc::new(Decoder::kernel(&o, &globals, f)?));
        }
        let inner = Arc::new(ModuleInner { base, files: o.files.clone(), vars, target: o.target.clone() });
        let entries = kernels.into_iter().map(|kernel| Entry { module: inner.clone(), kernel }).collect();
        Ok(Self { inner, entries })
    }
    /// The kernels, in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// A kernel by name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.kernel.name == name)
    }
    /// The `.target` of the text, such as `sm_80`.
    pub fn target(&self) -> &str {
        &self.inner.target
    }
    /// Address and size of a module-level variable.
    pub fn global(&self, name: &str) -> Option<(u64, u64)> {
        self.inner.vars.iter().find(|v| v.name == name).map(|v| (v.addr, v.size))
    }
}

impl Entry {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.kernel.name
    }
    /// Bytes that the parameters take.
    pub fn param_bytes(&self) -> usize {
        self.kernel.param_bytes as usize
    }
    /// Offset and size of every parameter.
    pub fn params(&self) -> &[(u32, u32)] {
        &self.kernel.params
    }
    /// Bytes of static shared memory.
    pub fn static_shared(&self) -> u32 {
        self.kernel.static_shared
    }
    /// Bytes of local memory of a thread.
    pub fn local_bytes(&self) -> u32 {
        self.kernel.local_bytes
    }
    /// The most threads of a block that the kernel declares, if it does.
    pub fn max_threads(&self) -> Option<u32> {
        self.kernel.max_threads
    }
    /// The block that every launch must have, if the kernel declares one (`.reqntid`).
    pub fn block(&self) -> Option<Dim3> {
        self.kernel.block.map(|b| Dim3::new(b[0], b[1], b[2]))
    }
    /// The blocks of a cluster of a launch that asks for some or for none; says what is wrong where the kernel cannot have it.
    pub fn cluster_for(&self, asked: Option<Dim3>) -> Result<Dim3, String> {
        let k = &self.kernel;
        let own = k.cluster.map(|c| Dim3::new(c[0], c[1], c[2]));
        if let (Some(a), Some(o)) = (asked, own)
            && a != o
        {
            return Err(format!(
                "clusters of {}x{}x{}, the kernel is built for {}x{}x{}",
                a.x, a.y, a.z, o.x, o.y, o.z
            ));
        }
        let Some(c) = asked.or(own) else {
            return if k.explicit_cluster {
                Err("a kernel that needs clusters, launched without".into())
            } else {
                Ok(Dim3::x(1))
            };
        };
        let n = c.arr().iter().fold(1u32, |n, x| n.saturating_mul(*x));
        let most = k.max_cluster.unwrap_or(16).min(16);
        if n == 0 || n > most {
            return Err(format!("a cluster of {n} blocks, at least one and at most {most} are possible"));
        }
        Ok(c)
    }
    /// The distinct opcodes that the kernel uses, with their modifiers.
    pub fn opcodes(&self) -> &[String] {
        &self.kernel.opcodes
    }
    /// Instructions after the expansion of calls.
    pub fn instructions(&self) -> usize {
        self.kernel.ins.len()
    }
}

/// Extents in three dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim3 {
    /// Fastest varying.
    pub x: u32,
    /// Second.
    pub y: u32,
    /// Slowest varying.
    pub z: u32,
}

impl Dim3 {
    /// One dimension.
    pub fn x(x: u32) -> Self {
        Self { x, y: 1, z: 1 }
    }
    /// Three dimensions.
    pub fn new(x: u32, y: u32, z: u32) -> Self {
        Self { x, y, z }
    }
    fn arr(self) -> [u32; 3] {
        [self.x, self.y, self.z]
    }
}

/// An emulated device: its memory, and how launches are checked.
#[derive(Debug)]
pub struct Device {
    /// Global memory.
    pub memory: Memory,
    /// Settings of the launches to come.
    pub options: Options,
    /// Shared memory that a block can have, in bytes.
    pub shared_limit: u32,
    /// What launches so far have written of outputs that others to come write as well.
    pub(crate) cover: Option<coverage::Coverage>,
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

impl Device {
    /// A device with 4 GiB of memory, 227 KiB of shared memory a block and every check.
    pub fn new() -> Self {
        Self { memory: Memory::new(4 << 30), options: Options::default(), shared_limit: 227 * 1024, cover: None }
    }

    /// Places a module's variables in memory, as a launch does by itself.
    pub fn attach(&mut self, module: &Module) {
        self.attach_inner(&module.inner);
    }
    fn attach_inner(&mut self, m: &ModuleInner) {
        for v in &m.vars {
            self.memory.place(v.addr, &v.init, v.size, &v.name, v.read_only);
        }
    }
    /// Takes a module's variables out of memory.
    pub fn detach(&mut self, module: &Module) {
        self.memory.remove_range(module.inner.base, module.inner.base + MODULE_STRIDE);
    }

    /// Runs a kernel to its end, in clusters if the kernel says so.
    pub fn launch(
        &mut self,
        entry: &Entry,
        grid: Dim3,
        block: Dim3,
        dynamic_shared: u32,
        params: &[u8],
    ) -> Result<Report, LaunchError> {
        self.launch_clusters(entry, grid, block, None, dynamic_shared, params)
    }

    /// Runs a kernel to its end, in clusters of as many blocks as are given. An extent of the grid has to be a multiple of the
    /// cluster's, which has at most 16 blocks and not more than, or other than, the kernel declares.
    pub fn launch_clusters(
        &mut self,
        entry: &Entry,
        grid: Dim3,
        block: Dim3,
        cluster: Option<Dim3>,
        dynamic_shared: u32,
        params: &[u8],
    ) -> Result<Report, LaunchError> {
        let (mut g, b) = (grid.arr(), block.arr());
        let c = entry.cluster_for(cluster).map_err(LaunchError::Dimensions)?.arr();
        if entry.kernel.blocks_are_clusters {
            g = std::array::from_fn(|d| g[d].saturating_mul(c[d]));
        }
        if (0..3).any(|d| !g[d].is_multiple_of(c[d])) {
            return Err(LaunchError::Dimensions(format!(
                "a grid of {}x{}x{} blocks in clusters of {}x{}x{}",
                g[0], g[1], g[2], c[0], c[1], c[2]
            )));
        }
        if g.contains(&0) || b.contains(&0) {
            return Err(LaunchError::Dimensions("a dimension is zero".into()));
        }
        let threads = u64::from(b[0]) * u64::from(b[1]) * u64::from(b[2]);
        if threads > 1024 || b[2] > 64 {
            return Err(LaunchError::Dimensions(format!("a block of {}x{}x{} threads", b[0], b[1], b[2])));
        }
        if let Some(max) = entry.kernel.max_threads
            && threads > u64::from(max)
        {
            return Err(LaunchError::Dimensions(format!(
                "{threads} threads in a block, the kernel is built for at most {max}"
            )));
        }
        if let Some(own) = entry.kernel.block
            && own != b
        {
            return Err(LaunchError::Dimensions(format!(
                "a block of {}x{}x{} threads, the kernel is built for {}x{}x{}",
                b[0], b[1], b[2], own[0], own[1], own[2]
            )));
        }
        if g[0] > i32::MAX as u32 || g[1] > 65535 || g[2] > 65535 {
            return Err(LaunchError::Dimensions(format!("a grid of {}x{}x{} blocks", g[0], g[1], g[2])));
        }
        let asked = u64::from(entry.kernel.static_shared) + u64::from(dynamic_shared);
        if asked > u64::from(self.shared_limit) {
            return Err(LaunchError::SharedMemory { asked, limit: u64::from(self.shared_limit) });
        }
        if params.len() != entry.param_bytes() {
            return Err(LaunchError::Parameters { given: params.len(), needed: entry.param_bytes() });
        }
        self.attach_inner(&entry.module);
        let workspace = if entry.kernel.grid_workspace && self.options.cooperative {
            self.memory.remove_range(GRID_WORKSPACE, GRID_WORKSPACE + 1);
            self.memory.place(GRID_WORKSPACE, &[], 8, "the grid's workspace", false);
            GRID_WORKSPACE
        } else {
            0
        };
        let blocks = u64::from(g[0]) * u64::from(g[1]) * u64::from(g[2]);
        let (regions, launches) = (&self.options.written_once, self.options.written_by);
        let cover = self.cover.take().unwrap_or_else(|| coverage::Coverage::new(regions, launches));
        let l = exec::Launch {
            k: &entry.kernel,
            files: &entry.module.files,
            mem: &self.memory,
            params,
            grid: g,
            block: b,
            cluster: c,
            clustered: cluster.is_some() || entry.kernel.cluster.is_some(),
            dyn_shared: dynamic_shared,
            workspace,
            opt: &self.options,
            printed: Mutex::default(),
            findings: Mutex::default(),
            halt: AtomicBool::new(false),
            spent: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            atomics: Mutex::new(()),
            cover: &cover,
            order: order::GridOrder::new(
                self.memory.allocs.len(),
                blocks,
                self.options.check_race && (blocks > 1 || threads > 32),
                blocks > 1 && entry.kernel.learns,
            ),
        };
        let report = l.run();
        if report.fault.is_none() {
            self.cover = cover.next();
        }
        Ok(report)
    }
}
