//! What a launch hands back: counters and findings.

use std::collections::BTreeMap;
use std::fmt;

/// What kind of fault or doubt a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An access outside every allocation, or outside the block's shared memory.
    OutOfBounds,
    /// An access at an address that is not a multiple of its size.
    Misaligned,
    /// A store to constant memory.
    ReadOnly,
    /// A read of bytes that nothing has written, or that a copy in flight will write.
    Uninitialised,
    /// Two accesses, one of them a write, with nothing that orders them.
    Race,
    /// Threads of a warp that had to be together were not.
    Divergence,
    /// All warps wait, none can go on.
    Deadlock,
    /// The launch ran for more instructions than allowed.
    Timeout,
    /// A trap instruction, a failed device assertion or a misuse of an instruction.
    Trap,
    /// An element of an output written more than once or not at all, or a byte outside it written.
    Coverage,
}

impl Kind {
    /// Whether a real device would have stopped the launch here.
    pub fn fatal(self) -> bool {
        !matches!(self, Self::Uninitialised | Self::Race | Self::Coverage)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfBounds => "out of bounds",
            Self::Misaligned => "misaligned",
            Self::ReadOnly => "store to read-only memory",
            Self::Uninitialised => "uninitialised",
            Self::Race => "race",
            Self::Divergence => "divergence",
            Self::Deadlock => "deadlock",
            Self::Timeout => "timeout",
            Self::Trap => "trap",
            Self::Coverage => "coverage",
        })
    }
}

/// One thing that is wrong with a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which check.
    pub kind: Kind,
    /// The kernel's name.
    pub kernel: String,
    /// `file:line` of the kernel's source, empty without `-lineinfo`.
    pub source: String,
    /// Line of the PTX text.
    pub ptx_line: u32,
    /// The instruction.
    pub opcode: String,
    /// The block.
    pub cta: [u32; 3],
    /// The warp in the block.
    pub warp: u32,
    /// The lane in the warp, where one lane is to blame.
    pub lane: Option<u32>,
    /// The address, where there is one.
    pub address: Option<u64>,
    /// The rest, in words.
    pub message: String,
    /// How often the same thing was seen at the same instruction.
    pub count: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", if self.source.is_empty() { "no source line" } else { &self.source }, self.kind)?;
        write!(
            f,
            "{} [{} in {}, PTX line {}; block ({},{},{}) warp {}",
            self.message, self.opcode, self.kernel, self.ptx_line, self.cta[0], self.cta[1], self.cta[2], self.warp
        )?;
        if let Some(l) = self.lane {
            write!(f, " lane {l}")?;
        }
        if let Some(a) = self.address {
            write!(f, ", address {a:#x}")?;
        }
        write!(f, "]")?;
        if self.count > 1 {
            write!(f, " ({} times)", self.count)?;
        }
        Ok(())
    }
}

/// Requests to global memory of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalAccess {
    /// Warp instructions with at least one active lane.
    pub requests: u64,
    /// Distinct 32-byte sectors, summed over requests.
    pub sectors: u64,
    /// Bytes that lanes asked for.
    pub bytes: u64,
    /// Accesses by a lane, by width: 1, 2, 4, 8, 16 bytes.
    pub width: [u64; 5],
}

/// Requests to shared memory of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedAccess {
    /// Warp instructions with at least one active lane.
    pub requests: u64,
    /// Passes that the banks need.
    pub wavefronts: u64,
    /// Passes that would do without a bank conflict.
    pub ideal: u64,
}

/// What a launch did, independent of any hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Blocks that ran.
    pub blocks: u64,
    /// Instructions, one per warp.
    pub warp_instructions: u64,
    /// Instructions, one per active lane.
    pub thread_instructions: u64,
    /// Loads from global memory.
    pub global_load: GlobalAccess,
    /// Stores to global memory.
    pub global_store: GlobalAccess,
    /// Atomic operations on global memory.
    pub global_atomic: GlobalAccess,
    /// Asynchronous copies that go through the first-level cache (`.ca`).
    pub cp_async_ca: GlobalAccess,
    /// Asynchronous copies that bypass it (`.cg`).
    pub cp_async_cg: GlobalAccess,
    /// Bytes that asynchronous copies filled with zeros.
    pub zero_filled_bytes: u64,
    /// Loads from shared memory.
    pub shared_load: SharedAccess,
    /// Stores to shared memory.
    pub shared_store: SharedAccess,
    /// Matrix loads from shared memory.
    pub ldmatrix: SharedAccess,
    /// Writes of asynchronous copies into shared memory.
    pub shared_cp_async: SharedAccess,
    /// Matrix instructions, one per warp.
    pub mma_instructions: u64,
    /// Multiply-adds that the matrix instructions do, used or not.
    pub issued_macs: u64,
    /// Bulk and tensor copies into shared memory.
    pub bulk_loads: u64,
    /// Bytes of their boxes.
    pub bulk_load_bytes: u64,
    /// 32-byte sectors of global memory that they read, summed over the rows of boxes; once where several blocks get them.
    pub bulk_load_sectors: u64,
    /// Bulk and tensor copies out of shared memory.
    pub bulk_stores: u64,
    /// Bytes of their boxes.
    pub bulk_store_bytes: u64,
    /// 32-byte sectors of global memory that they write, summed over the rows of boxes.
    pub bulk_store_sectors: u64,
    /// Barrier instructions, one per warp.
    pub barriers: u64,
    /// Instructions per warp by PTX opcode.
    pub mix: BTreeMap<String, u64>,
}

impl GlobalAccess {
    pub(crate) fn add(&mut self, o: &Self) {
        self.requests += o.requests;
        self.sectors += o.sectors;
        self.bytes += o.bytes;
        for i in 0..5 {
            self.width[i] += o.width[i];
        }
    }
    /// Sectors per request, the measure of coalescing.
    pub fn sectors_per_request(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.sectors as f64 / self.requests as f64 }
    }
    fn json(&self) -> String {
        format!(
            "{{\"requests\":{},\"sectors\":{},\"bytes\":{},\"width\":[{},{},{},{},{}]}}",
            self.requests,
            self.sectors,
            self.bytes,
            self.width[0],
            self.width[1],
            self.width[2],
            self.width[3],
            self.width[4]
        )
    }
}
impl SharedAccess {
    pub(crate) fn add(&mut self, o: &Self) {
        self.requests += o.requests;
        self.wavefronts += o.wavefronts;
        self.ideal += o.ideal;
    }
    fn json(&self) -> String {
        format!("{{\"requests\":{},\"wavefronts\":{},\"ideal\":{}}}", self.requests, self.wavefronts, self.ideal)
    }
}

impl Counters {
    /// Adds another launch's or block's counters.
    pub fn add(&mut self, o: &Self) {
        self.blocks += o.blocks;
        self.warp_instructions += o.warp_instructions;
        self.thread_instructions += o.thread_instructions;
        self.global_load.add(&o.global_load);
        self.global_store.add(&o.global_store);
        self.global_atomic.add(&o.global_atomic);
        self.cp_async_ca.add(&o.cp_async_ca);
        self.cp_async_cg.add(&o.cp_async_cg);
        self.zero_filled_bytes += o.zero_filled_bytes;
        self.shared_load.add(&o.shared_load);
        self.shared_store.add(&o.shared_store);
        self.ldmatrix.add(&o.ldmatrix);
        self.shared_cp_async.add(&o.shared_cp_async);
        self.mma_instructions += o.mma_instructions;
        self.issued_macs += o.issued_macs;
        self.bulk_loads += o.bulk_loads;
        self.bulk_load_bytes += o.bulk_load_bytes;
        self.bulk_load_sectors += o.bulk_load_sectors;
        self.bulk_stores += o.bulk_stores;
        self.bulk_store_bytes += o.bulk_store_bytes;
        self.bulk_store_sectors += o.bulk_store_sectors;
        self.barriers += o.barriers;
        for (k, v) in &o.mix {
            *self.mix.entry(k.clone()).or_default() += v;
        }
    }
    /// The counters as one JSON object.
    pub fn to_json(&self) -> String {
        let mix: Vec<String> = self.mix.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        format!(
            "{{\"blocks\":{},\"warp_instructions\":{},\"thread_instructions\":{},\"global_load\":{},\"global_store\":{},\"global_atomic\":{},\"cp_async_ca\":{},\"cp_async_cg\":{},\"zero_filled_bytes\":{},\"shared_load\":{},\"shared_store\":{},\"ldmatrix\":{},\"shared_cp_async\":{},\"mma_instructions\":{},\"issued_macs\":{},\"bulk_loads\":{},\"bulk_load_bytes\":{},\"bulk_load_sectors\":{},\"bulk_stores\":{},\"bulk_store_bytes\":{},\"bulk_store_sectors\":{},\"barriers\":{},\"mix\":{{{}}}}}",
            self.blocks,
            self.warp_instructions,
            self.thread_instructions,
            self.global_load.json(),
            self.global_store.json(),
            self.global_atomic.json(),
            self.cp_async_ca.json(),
            self.cp_async_cg.json(),
            self.zero_filled_bytes,
            self.shared_load.json(),
            self.shared_store.json(),
            self.ldmatrix.json(),
            self.shared_cp_async.json(),
            self.mma_instructions,
            self.issued_macs,
            self.bulk_loads,
            self.bulk_load_bytes,
            self.bulk_load_sectors,
            self.bulk_stores,
            self.bulk_store_bytes,
            self.bulk_store_sectors,
            self.barriers,
            mix.join(",")
        )
    }
}

/// The outcome of a launch.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was counted.
    pub counters: Counters,
    /// What was found, each thing once.
    pub findings: Vec<Finding>,
    /// The first finding that would have stopped a real device.
    pub fault: Option<Kind>,
    /// How far the launch's clock went, in warp instructions, rounded up; no reading in the launch is beyond it.
    pub ticks: u64,
    /// What the kernel printed with `printf`, in the order in which it ran here.
    pub printed: String,
}

impl Report {
    /// Whether nothing was found.
    pub fn clean(&self) -> bool {
        self.findings.is_empty()
    }
}
