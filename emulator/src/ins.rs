//! The decoded form of a kernel: a flat list of instructions over numbered registers.

use std::sync::Arc;

use crate::alu::*;
use crate::mma::Form;
use crate::ptx::Loc;

/// No register: no guard, or a result that nobody wants.
pub(crate) const NONE: u32 = u32::MAX;
/// The reconvergence point of a branch whose paths meet only when their threads have ended.
pub(crate) const PC_END: u32 = u32::MAX;

/// Where a window into another state space begins in the generic address space.
pub(crate) const SHARED_WINDOW: u64 = 0x0100_0000_0000;
pub(crate) const LOCAL_WINDOW: u64 = 0x0200_0000_0000;
pub(crate) const PARAM_WINDOW: u64 = 0x0300_0000_0000;
/// Where the addresses of functions begin; nothing can be read there.
pub(crate) const CODE_WINDOW: u64 = 0x0500_0000_0000;
pub(crate) const WINDOW_SIZE: u64 = 0x0100_0000_0000;
/// The first address of shared memory, so that a null pointer is not a valid one.
pub(crate) const SHARED_BASE: u32 = 1024;

/// A state space of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    /// Of the own block.
    Shared,
    /// Of any block of the cluster.
    Cluster,
    Local,
    Param,
    Const,
}

/// A register that holds an address, or none, and a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addr {
    pub base: Base,
    pub off: i64,
}
#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    None,
    W(u32),
    D(u32),
}

/// A 32-bit, a 64-bit or a predicate register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reg {
    W(u32),
    D(u32),
    P(u32),
    /// 128 bits: this 64-bit register and the next.
    Q(u32),
}

/// How two predicates are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BoolOp {
    And,
    Or,
    Xor,
}

/// What an atomic instruction does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomOp {
    Add,
    Min,
    Max,
    Inc,
    Dec,
    Cas,
    Exch,
    And,
    Or,
    Xor,
}

/// How a memory access takes part in ordering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemFlags {
    pub nc: bool,
    /// Relaxed, volatile or atomic: meant to be seen by others, so no race by itself.
    pub strong: bool,
    pub acquire: bool,
    pub release: bool,
    /// Of less than the device's scope.
    pub near: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoteOp {
    All,
    Any,
    Uni,
    Ballot,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShflOp {
    Up,
    Down,
    Bfly,
    Idx,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReduxOp {
    AddU,
    MinU,
    MaxU,
    MinS,
    MaxS,
    And,
    Or,
    Xor,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarRed {
    None,
    Popc(u32),
    And(u32),
    Or(u32),
}

/// Sign extension of a loaded value narrower than its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ext {
    Zero,
    Sign8,
    Sign16,
    Sign32,
}

/// A wmma operand's place in the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WmmaPart {
    A,
    B,
    C,
}

/// The type of a wmma fragment's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WmmaEl {
    F16,
    Bf16,
    Tf32,
    F32,
    F64,
    S8,
    U8,
    S32,
}

impl WmmaEl {
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "tf32" => Self::Tf32,
            "f32" => Self::F32,
            "f64" => Self::F64,
            "s8" => Self::S8,
            "u8" => Self::U8,
            "s32" => Self::S32,
            _ => return None,
        })
    }
    pub fn bytes(self) -> u32 {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::S8 | Self::U8 => 1,
            Self::F64 => 8,
            _ => 4,
        }
    }
}

/// A wmma fragment: a matrix that the lanes of a warp hold together. Lane `l` holds the elements from `l * n` to `l * n + n - 1` of it in
/// row order; the ISA leaves that open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment {
    pub rows: u32,
    pub cols: u32,
    pub el: WmmaEl,
    pub part: WmmaPart,
}

impl Fragment {
    /// Elements of a lane.
    pub fn elements(&self) -> u32 {
        self.rows * self.cols / 32
    }
    /// Registers of a lane (section 9.7.14.4.1 of the ISA).
    pub fn regs(&self) -> usize {
        let n = self.elements();
        (match self.el {
            // Fragments of A and B of halves always have eight.
            WmmaEl::F16 if self.part != WmmaPart::C => 8,
            WmmaEl::F16 | WmmaEl::Bf16 => n / 2,
            WmmaEl::S8 | WmmaEl::U8 => n / 4,
            _ => n,
        }) as usize
    }
    /// Whether a shape has such a fragment.
    pub fn exists(&self, shape: [u32; 3]) -> bool {
        let large = shape[2] == 16;
        match (self.part, self.el) {
            (WmmaPart::C, WmmaEl::F16 | WmmaEl::S32) => large,
            (WmmaPart::C, WmmaEl::F32) => large || shape == [16, 16, 8],
            (_, WmmaEl::F64) => shape == [8, 8, 4],
            (WmmaPart::C, _) => false,
            (_, WmmaEl::F16 | WmmaEl::Bf16 | WmmaEl::S8 | WmmaEl::U8) => large,
            (_, WmmaEl::Tf32) => shape == [16, 16, 8],
            _ => false,
        }
    }
}

/// A wmma load or store.
#[derive(Clone, Debug)]
pub(crate) struct WmmaMove {
    pub f: Fragment,
    pub load: bool,
    pub row: bool,
    pub space: Space,
    pub regs: Vec<u32>,
    pub a: Addr,
    pub ld: u32,
}

/// A wmma product: fragments and registers of D, A, B and C.
#[derive(Clone, Debug)]
pub(crate) struct WmmaMma {
    pub f: [Fragment; 4],
    pub saturate: bool,
    pub regs: [Vec<u32>; 4],
}

/// What a product outside the usual forms multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainKind {
    F64,
    /// Integers of so many bits; of one bit, a logical operation and a count.
    Int {
        bits: u32,
        signed: [bool; 2],
        xor: bool,
        saturate: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct PlainMma {
    pub kind: PlainKind,
    pub rows: u32,
    pub d: Vec<u32>,
    pub a: Vec<u32>,
    pub b: Vec<u32>,
    pub c: Vec<u32>,
}

/// A product with every other element, or every other pair, of A left out.
#[derive(Clone, Debug)]
pub(crate) struct SparseMma {
    /// The types, and half the depth: that of the elements that are there.
    pub f: Form,
    /// Elements of four bits, two of them in place of each of the form's.
    pub nibbles: bool,
    pub d: [u32; 4],
    pub a: [u32; 4],
    pub b: [u32; 4],
    pub c: [u32; 4],
    /// The register that says where the elements stand, and which threads of four have it.
    pub places: u32,
    pub selector: u32,
    /// Whether the places have to be in order.
    pub ordered: bool,
}

/// An instruction. Registers are indices into the warp's register files.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Nop,
    /// A function of one lane's operands, for what is seldom used.
    Scalar(Scalar),
    Bra {
        to: u32,
        rpc: u32,
    },
    Brx {
        index: u32,
        table: Box<[u32]>,
        rpc: u32,
    },
    Exit,
    Trap(&'static str),
    W1 {
        f: FnW1,
        d: u32,
        a: u32,
    },
    W2 {
        f: FnW2,
        d: u32,
        a: u32,
        b: u32,
    },
    W3 {
        f: FnW3,
        d: u32,
        a: u32,
        b: u32,
        c: u32,
    },
    D1 {
        f: FnD1,
        d: u32,
        a: u32,
    },
    D2 {
        f: FnD2,
        d: u32,
        a: u32,
        b: u32,
    },
    D3 {
        f: FnD3,
        d: u32,
        a: u32,
        b: u32,
        c: u32,
    },
    Dw {
        f: FnDW,
        d: u32,
        a: u32,
        b: u32,
    },
    Dww {
        f: FnDWW,
        d: u32,
        a: u32,
        b: u32,
        c: u32,
    },
    Wd1 {
        f: FnWD1,
        d: u32,
        a: u32,
    },
    Dw1 {
        f: FnDW1,
        d: u32,
        a: u32,
    },
    Wide2 {
        f: FnWide2,
        d: u32,
        a: u32,
        b: u32,
    },
    Wide3 {
        f: FnWide3,
        d: u32,
        a: u32,
        b: u32,
        c: u32,
    },
    /// A 32-bit float operation that flushes subnormals or saturates.
    FloatX {
        f: FloatFn,
        d: u32,
        a: u32,
        b: u32,
        c: u32,
        ftz: bool,
        sat: bool,
    },
    Lop3 {
        d: u32,
        a: u32,
        b: u32,
        c: u32,
        lut: u8,
    },
    Bfi32 {
        d: u32,
        a: u32,
        b: u32,
        c: u32,
        e: u32,
    },
    Bfi64 {
        d: u32,
        a: u32,
        b: u32,
        c: u32,
        e: u32,
    },
    SetpW {
        f: FnCmpW,
        d: u32,
        d2: u32,
        a: u32,
        b: u32,
        with: Option<(BoolOp, u32, bool)>,
    },
    SetpD {
        f: FnCmpD,
        d: u32,
        d2: u32,
        a: u32,
        b: u32,
        with: Option<(BoolOp, u32, bool)>,
    },
    SetpF {
        f: fn(f64, f64) -> bool,
        ty: Ty,
        ftz: bool,
        d: u32,
        d2: u32,
        a: Reg,
        b: Reg,
        with: Option<(BoolOp, u32, bool)>,
    },
    SelW {
        d: u32,
        a: u32,
        b: u32,
        p: u32,
        not: bool,
    },
    SelD {
        d: u32,
        a: u32,
        b: u32,
        p: u32,
        not: bool,
    },
    P2 {
        f: fn(u32, u32) -> u32,
        d: u32,
        a: u32,
        b: u32,
    },
    PNot {
        d: u32,
        a: u32,
    },
    PMov {
        d: u32,
        a: u32,
    },
    PConst {
        d: u32,
        v: bool,
    },
    Pack2x16 {
        d: u32,
        s: [u32; 2],
    },
    Unpack2x16 {
        d: [u32; 2],
        s: u32,
    },
    Pack2x32 {
        d: u32,
        s: [u32; 2],
    },
    Unpack2x32 {
        d: [u32; 2],
        s: u32,
    },
    Pack4x16 {
        d: u32,
        s: [u32; 4],
    },
    Unpack4x16 {
        d: [u32; 4],
        s: u32,
    },
    Cvt {
        dst: Ty,
        src: Ty,
        rnd: Rnd,
        to_int: bool,
        sat: bool,
        ftz: bool,
        relu: bool,
        d: Reg,
        a: Reg,
    },
    CvtPack {
        d: u32,
        hi: u32,
        lo: u32,
        bf: bool,
        rnd: Rnd,
        relu: bool,
    },
    /// Generic to space (`to`), or space to generic.
    Cvta {
        to: bool,
        window: u64,
        d: u32,
        a: u32,
    },
    Clock {
        d: Reg,
    },
    Ld {
        space: Space,
        bytes: u8,
        n: u8,
        ext: Ext,
        fl: MemFlags,
        d: [Reg; 4],
        a: Addr,
    },
    St {
        space: Space,
        bytes: u8,
        n: u8,
        fl: MemFlags,
        s: [Reg; 4],
        a: Addr,
    },
    Atom {
        space: Space,
        op: AtomOp,
        ty: Ty,
        fl: MemFlags,
        d: Option<Reg>,
        a: Addr,
        b: Reg,
        c: Option<Reg>,
        /// What the address has to be a multiple of.
        align: u32,
    },
    Atom128(Box<Atom128>),
    Prefetch,
    CpAsync {
        bytes: u8,
        bypass: bool,
        dst: Addr,
        src: Addr,
        src_size: u32,
        ignore: u32,
    },
    CpCommit,
    CpWait {
        n: u32,
    },
    CpWaitAll,
    Ldmatrix {
        n: u8,
        trans: bool,
        d: [u32; 4],
        a: Addr,
    },
    Stmatrix {
        n: u8,
        trans: bool,
        s: [u32; 4],
        a: Addr,
    },
    Movmatrix {
        d: u32,
        a: u32,
    },
    Mma {
        f: Form,
        d: [u32; 4],
        a: [u32; 4],
        b: [u32; 2],
        c: [u32; 4],
    },
    PlainMma(Box<PlainMma>),
    SparseMma(Box<SparseMma>),
    WmmaMove(Box<WmmaMove>),
    WmmaMma(Box<WmmaMma>),
    Vote {
        op: VoteOp,
        d: Reg,
        p: u32,
        not: bool,
        mask: u32,
    },
    Shfl {
        op: ShflOp,
        d: u32,
        p: u32,
        a: u32,
        b: u32,
        c: u32,
        mask: u32,
    },
    Match {
        all: bool,
        wide: bool,
        d: u32,
        p: u32,
        a: u32,
        mask: u32,
    },
    Redux {
        op: ReduxOp,
        d: u32,
        a: u32,
        mask: u32,
    },
    Activemask {
        d: u32,
    },
    /// An operation on an mbarrier that does not wait.
    Mbar {
        kind: MbarOp,
        a: Addr,
        /// Whether it may lie in another block of the cluster.
        remote: bool,
        /// Orders nothing that a fence has not ordered.
        relaxed: bool,
        /// Threads to expect or arrivals to count, or [`NONE`] for one.
        count: u32,
        /// Bytes to expect, or [`NONE`].
        tx: u32,
        d: Option<Reg>,
    },
    MbarWait {
        a: Addr,
        parity: bool,
        blocking: bool,
        relaxed: bool,
        p: u32,
        v: Reg,
    },
    /// An arrival that happens when the thread's copies so far have landed.
    CpArrive {
        a: Addr,
        noinc: bool,
    },
    FenceAsync,
    BulkLoad(Box<BulkLoad>),
    BulkStore(Box<BulkStore>),
    /// A store, or with an operation a reduction, to the cluster's shared memory that an mbarrier counts.
    StAsync {
        bytes: u8,
        n: u8,
        s: [Reg; 4],
        a: Addr,
        mbar: Addr,
        red: Option<(AtomOp, Ty)>,
    },
    /// A change of one field of a tensor map.
    TensorMap(Box<MapField>),
    /// The copy of a tensor map from shared to global memory, with a fence.
    MapCopy {
        dst: Addr,
        src: Addr,
    },
    /// Lets the tensor copies that follow see changes of tensor maps; with an address, of the one there.
    MapFence {
        acquire: Option<Addr>,
    },
    BulkCommit,
    BulkWait {
        n: u32,
    },
    WgmmaFence,
    WgmmaCommit,
    WgmmaWait {
        n: u32,
    },
    Wgmma(Box<Wgmma>),
    /// The registers of each of the warpgroup's threads become more, which may have to be waited for, or fewer.
    SetMaxNReg {
        inc: bool,
        n: u32,
    },
    Elect {
        d: u32,
        p: u32,
        mask: u32,
    },
    WarpSync {
        mask: u32,
    },
    Bar {
        id: u32,
        count: u32,
        arrive: bool,
        red: BarRed,
        not: bool,
        d: Reg,
    },
    /// A fence; `wide` where its scope is more than the block, `device` where it is more than the cluster.
    Fence {
        wide: bool,
        device: bool,
    },
    ClusterArrive {
        relaxed: bool,
    },
    ClusterWait,
    /// The address in another block of the cluster that is at the place of `a` in this one.
    Mapa {
        d: Reg,
        a: Reg,
        rank: u32,
    },
    Ctarank {
        d: u32,
        a: Reg,
    },
    /// A failed device assertion; where its message, file, line and function stand among the arguments.
    Assert([u64; 4]),
    /// `printf`: where its format and the address of its arguments stand, and its result.
    Print {
        args: [u64; 2],
        d: Option<u64>,
    },
}

/// What an instruction does to registers that a wgmma uses somewhere in its kernel.
#[derive(Clone, Debug)]
pub(crate) enum Watch {
    Nothing,
    /// Reads or writes them.
    Touch(Box<[u32]>),
    /// Copies one to another, as compilers do where values go round a loop.
    Move {
        d: u32,
        s: u32,
    },
}

/// Names every 32-bit register that an instruction reads or writes.
fn words(op: &Op, f: &mut dyn FnMut(u32)) {
    op.operands(&mut |r, _| {
        if let Reg::W(r) = r {
            f(r);
        }
    });
}

/// What every instruction does to the registers of wgmma; nothing at all for a kernel without.
pub(crate) fn watches(ins: &[Ins], opcodes: &[String]) -> Vec<Watch> {
    let mut watched = std::collections::HashSet::new();
    for i in ins {
        if matches!(i.op, Op::Wgmma(_)) {
            words(&i.op, &mut |r| _ = watched.insert(r));
        }
    }
    if watched.is_empty() {
        return Vec::new();
    }
    let moves = |i: &Ins| match i.op {
        Op::W1 { d, a, .. } if opcodes[i.name as usize].starts_with("mov.") => Some((d, a)),
        _ => None,
    };
    // Copies of such a register are as good as the register.
    loop {
        let n = watched.len();
        for (d, s) in ins.iter().filter_map(moves) {
            if watched.contains(&s) {
                watched.insert(d);
            }
        }
        if watched.len() == n {
            break;
        }
    }
    ins.iter()
        .map(|i| match moves(i) {
            _ if matches!(i.op, Op::Wgmma(_)) => Watch::Nothing,
            Some((d, s)) if watched.contains(&s) => Watch::Move { d, s },
            _ => {
                let mut list = Vec::new();
                words(&i.op, &mut |r| {
                    if watched.contains(&r) {
                        list.push(r);
                    }
                });
                if list.is_empty() { Watch::Nothing } else { Watch::Touch(list.into()) }
            }
        })
        .collect()
}

/// An exchange, or with `c` a compare and exchange, of sixteen bytes.
#[derive(Clone, Debug)]
pub(crate) struct Atom128 {
    pub space: Space,
    pub fl: MemFlags,
    pub d: Option<[Reg; 4]>,
    pub a: Addr,
    pub b: [Reg; 4],
    pub c: Option<[Reg; 4]>,
}

/// What a scalar instruction computes: up to two results of its operands.
pub(crate) type Function = Arc<dyn Fn(&[u64]) -> [u64; 2] + Send + Sync>;

/// A function of one lane's operands with one or two results.
#[derive(Clone)]
pub(crate) struct Scalar {
    pub d: Box<[Reg]>,
    pub s: Box<[Reg]>,
    pub f: Function,
}

impl Scalar {
    pub fn new(d: &[Reg], s: &[Reg], f: impl Fn(&[u64]) -> [u64; 2] + Send + Sync + 'static) -> Self {
        Self { d: d.into(), s: s.into(), f: Arc::new(f) }
    }
}
impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {:?}", self.d, self.s)
    }
}

/// What an mbarrier instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MbarOp {
    Init,
    Inval,
    Arrive,
    /// And one arrival less in the phases to come.
    Drop,
    ExpectTx,
    CompleteTx,
}

/// A copy into shared memory of `bytes`, or of a box of a tensor map, that an mbarrier counts.
#[derive(Clone, Debug)]
pub(crate) struct BulkLoad {
    pub dst: Addr,
    pub src: Addr,
    /// From the block's own shared memory, and not from global memory.
    pub from_shared: bool,
    pub coords: Box<[u32]>,
    pub bytes: u32,
    pub mbar: Addr,
    /// A bit for each rank whose block gets it, or [`NONE`].
    pub mask: u32,
    pub red: Option<(AtomOp, Ty)>,
}

/// A copy out of shared memory of `bytes`, or of a box of a tensor map, or a reduction with what is there.
#[derive(Clone, Debug)]
pub(crate) struct BulkStore {
    pub dst: Addr,
    pub src: Addr,
    pub coords: Box<[u32]>,
    pub bytes: u32,
    pub red: Option<AtomOp>,
    /// The type of a reduction that no tensor map gives.
    pub ty: Option<Ty>,
}

/// A field of a tensor map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapPart {
    Address,
    Rank,
    Box(usize),
    Dim(usize),
    Stride(usize),
    ElementStride(usize),
    Element,
    Interleave,
    Swizzle,
    Fill,
}

#[derive(Clone, Debug)]
pub(crate) struct MapField {
    pub part: MapPart,
    pub shared: bool,
    pub a: Addr,
    pub v: Reg,
}

/// A product of a warpgroup: 64 rows, `n` columns, a depth of 32 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Wgmma {
    pub n: u32,
    pub d: Vec<u32>,
    /// A's descriptor, or four registers of halves.
    pub a: Result<u32, [u32; 4]>,
    pub b: u32,
    /// Whether the accumulator's value counts: a predicate and its negation.
    pub scale_d: (u32, bool),
    pub neg_a: bool,
    pub neg_b: bool,
    pub trans_a: bool,
    pub trans_b: bool,
    pub f: Form,
}

impl Wgmma {
    /// Accumulators of wgmmas with the same number here are in the same layout.
    pub fn shape_key(&self) -> u32 {
        1 + self.n * 4 + self.f.d as u32
    }
}

/// A float operation of one to three operands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FloatFn {
    F1(FnW1),
    F2(FnW2),
    F3(FnW3),
}

/// An instruction with its guard and its origin.
#[derive(Clone, Debug)]
pub(crate) struct Ins {
    pub op: Op,
    /// A predicate register, or [`NONE`].
    pub guard: u32,
    pub guard_not: bool,
    pub loc: Loc,
    pub ptx_line: u32,
    /// Index into the kernel's table of opcodes.
    pub name: u32,
}

/// A value that differs from thread to thread or from block to block and is put into a register before a warp starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sreg {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NWarpId,
    SmId,
    NSmId,
    GridId,
    LaneMask(u8),
    DynSmem,
    TotalSmem,
    WarpSize,
    ClusterRank,
    ClusterSize,
    ClusterId(u8),
    NClusterId(u8),
    ClusterCtaid(u8),
    ExplicitCluster,
    /// A register of the driver's: the first and second hold the address of the grid's workspace, high half first.
    EnvReg(u8),
    /// Zero: a register of which nothing is known here.
    Zero,
    ClusterNctaid(u8),
}

/// A constant whose value is known at load time or once the layout of shared memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Const {
    Val(u64),
    DynShared(i64),
}

/// A decoded kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub name: String,
    pub ins: Vec<Ins>,
    /// For every instruction, or empty where no wgmma is.
    pub watch: Vec<Watch>,
    pub doubtful: crate::operands::Doubtful,
    /// The `mbarrier.try_wait`s whose result nothing looks at.
    pub ignored: Vec<u32>,
    pub opcodes: Vec<String>,
    pub n_w: u32,
    pub n_d: u32,
    pub n_p: u32,
    pub const_w: Vec<(u32, u32)>,
    pub const_d: Vec<(u32, u64)>,
    pub sregs: Vec<(Sreg, u32)>,
    pub static_shared: u32,
    pub local_bytes: u32,
    pub param_bytes: u32,
    /// Offset and size of every parameter.
    pub params: Vec<(u32, u32)>,
    /// Whether some instruction reads what a load brings, by its place.
    pub loads_read: Vec<bool>,
    pub max_threads: Option<u32>,
    /// The block that every launch must have.
    pub block: Option<[u32; 3]>,
    /// What a thread begins with, where the kernel says it.
    pub thread_registers: Option<u32>,
    /// Blocks of a cluster, where the kernel says so, and whether it has to be launched in clusters.
    pub cluster: Option<[u32; 3]>,
    pub explicit_cluster: bool,
    /// Whether it asks for the grid's workspace, with which the blocks of a cooperative launch wait for one another.
    pub grid_workspace: bool,
    /// Whether it can learn from flags in global memory what other blocks have done.
    pub learns: bool,
    /// Of every instruction, whether it changes nothing but registers.
    pub idle: Vec<bool>,
    /// Of every relaxed load, whether a branch on what it brings can lead to it again.
    pub polls: Vec<bool>,
    pub blocks_are_clusters: bool,
    pub max_cluster: Option<u32>,
}
