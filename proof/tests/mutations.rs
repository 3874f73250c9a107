//! Bugs seeded into the kernels that ship: each is caught, by the right check and at the right source line, and the kernel without
//! it is not.
//!
//! A rule finds its instructions by what they are and by the source line that they came from, so that it goes on applying when
//! registers and line numbers change. One that applies no longer fails the test.

use gemmscope_proof::{Edit, Nth, Pick, Problem, Variant, mutate, on_two_threads, routed, source_line, variants};
use gpu_emulator::Kind::{self, Coverage, Deadlock, Divergence, Misaligned, OutOfBounds, Race, Trap, Uninitialised};

/// What has to be said of a bug.
enum Caught {
    /// The first finding: its kind, what its source line holds, and what it says.
    Finding(Kind, &'static str, &'static str),
    /// Nothing but wrong numbers.
    Values,
}
use Caught::{Finding, Values};

struct Bug {
    name: &'static str,
    variant: &'static str,
    problem: Problem,
    pick: Pick,
    edit: Edit,
    caught: Caught,
}

const NAIVE: &str = "01_naive/16x16x1";
const TILED: &str = "02_tiled/64x64x16";
const WMMA: &str = "03_wmma/64x64x32";
const A16: &str = "04_mma/64x64x32-a16";
const A8: &str = "04_mma/64x64x32-a8";
const A4: &str = "04_mma/128x128x32-a4";
const A2: &str = "04_mma/64x64x32-a2";
const LARGE: &str = "04_mma/128x256x32-a16";
const TMA: &str = "05_wgmma/128x128x64";
const RING: &str = "06_warp_specialized/128x128x64";
const STAY: &str = "07_persistent/128x64x64";
const PAIR: &str = "07_persistent/128x128x64-c2n";
const ABSORB: &str = "08_absorb/64x128x64-a-pp";
const ABSORB_B: &str = "08_absorb/128x128x64-b";
const REALIGN: &str = "08_realign/128x128x64-b";
const SPLIT: &str = "10_split_k/64x64x32-a16";
const SPLIT_SUM: &str = "10_split_k/64x64x32-a16+sum";
const ROWS: &str = "11_gemv/m8";
const COLUMNS: &str = "11_gemv/n8";
const COLUMNS_SUM: &str = "11_gemv/n8+sum";
const SWAP: &str = "12_swap_ab/8x128x32-a16";
const SWAP_WGMMA: &str = "13_swap_wgmma/16x128x64";
const RESTRIDE: &str = "pack/restride";
const TRANSPOSE: &str = "pack/transpose";

/// A tile and a bit of each, and more steps than the ring has stages.
fn tails() -> Problem {
    Problem::new([70, 75, 300])
}
/// More tiles than blocks stay for, more steps than the ring has stages, and rows that a tensor map can take.
fn tiled() -> Problem {
    Problem::new([200, 136, 520])
}
/// Whole tiles only.
fn whole() -> Problem {
    Problem::new([128, 128, 256])
}
/// A part of one tile, with space between the rows.
fn small() -> Problem {
    Problem { pad: 6, ..Problem::new([40, 50, 64]) }
}
fn padded() -> Problem {
    Problem { pad: 6, ..tails() }
}
fn added() -> Problem {
    Problem { beta: 1.0, pad: 3, ..tails() }
}

/// Odd rows, with NaN in front of each, in eight classes; more tiles than blocks stay for.
fn odd() -> Problem {
    Problem { pad: 1, ..Problem::new([300, 136, 200]) }
}
/// The same for classes of columns.
fn odd_columns() -> Problem {
    Problem { pad: 1, ..Problem::new([136, 300, 200]) }
}
/// Up to eight rows or columns, and k in three shares.
fn vectors(m: usize, n: usize) -> Problem {
    Problem { pad: 1, ..Problem::new([m, n, 2100]) }
}
/// More narrow tiles than blocks stay for, and more steps than the ring has stages.
fn narrow() -> Problem {
    Problem { pad: 1, ..Problem::new([13, 1100, 900]) }
}

const fn first(find: &'static str, at: &'static str) -> Pick {
    Pick { find, at, nth: Nth::At(0) }
}
const fn all(find: &'static str, at: &'static str) -> Pick {
    Pick { find, at, nth: Nth::All }
}
const fn nth(find: &'static str, at: &'static str, n: usize) -> Pick {
    Pick { find, at, nth: Nth::At(n) }
}

fn bug(name: &'static str, variant: &'static str, problem: Problem, pick: Pick, edit: Edit, caught: Caught) -> Bug {
    Bug { name, variant, problem, pick, edit, caught }
}

const SYNC: &str = "__syncthreads();";

/// Where fragments of A are loaded.
const LOAD_A: &str = "ldmatrix_x4(a_[kStep]";

#[rustfmt::skip]
fn bugs() -> Vec<Bug> {
    use Edit::{After, Always, Before, Delete, Invert, Swap, Twice};
    let last = |find, at| Pick { find, at, nth: Nth::Last };
    vec![
        // Bounds.
        bug("row bound off by one", NAIVE, tails(), nth("setp.ge.u32", "row >= p.m", 0), Swap("ge", "gt"),
            Finding(OutOfBounds, "Type::load(*a)", "past the end of A")),
        bug("column bound off by one", NAIVE, tails(), nth("setp.ge.u32", "row >= p.m", 1), Swap("ge", "gt"),
            Finding(OutOfBounds, "Type::load(*b)", "past the end of B")),
        bug("no bounds check", NAIVE, tails(), first("bra", "row >= p.m"), Delete,
            Finding(OutOfBounds, "Type::load(*a)", "A of")),
        bug("one step too many", NAIVE, tails(), first("max.u32", "k < p.k"), Swap("max.u32", "add.u32"),
            Finding(OutOfBounds, "Type::load(*", "past the end of B")),
        bug("stride of B in bytes, not elements", NAIVE, Problem::new([70, 75, 301]), first("shl.b64", "k < p.k"), Swap(", 1;", ", 2;"),
            Finding(OutOfBounds, "Type::load(*b)", "B of")),
        bug("C read although beta is zero", NAIVE, tails(), first("@%...bra", "p.beta != 0.0f"), Invert,
            Finding(Uninitialised, "*c = p.beta", "C")),
        bug("result stored twice", NAIVE, tails(), first("st.global.u16", ""), Twice,
            Finding(Coverage, "*c = p.beta", "written a second time")),
        bug("a row not stored", NAIVE, tails(), first("st.global.u16", ""), Before("mov.u32 %r1, %tid.x; setp.ge.u32 %p1, %r1, 16; @%p1"),
            Finding(Coverage, "", "750 bytes never written, the first in row 0 at byte 0")),
        bug("tiles of one row overlap", NAIVE, tails(), last("shl.b32", "within % height"), Swap(", 4;", ", 3;"),
            Finding(Race, "*c = p.beta", "also written by block 0")),
        bug("tile number of the columns wrong", A16, whole(), nth("shl.b32", "within / height", 1), Swap(", 6;", ", 5;"),
            Finding(Race, "*reinterpret_cast<uint4*>(g.at) = out", "also written by block 0")),
        bug("rows of A off by one", TILED, tails(), all("setp.ge.u32", "a_row + i * kRowStepA < rows"), Swap("ge", "gt"),
            Finding(OutOfBounds, "a_next[i] = exists", "past the end of A")),
        bug("depth of B off by one", TILED, tails(), all("setp.ge.u32", "b_row + i * kRowStepB < k_left"), Swap("ge", "gt"),
            Finding(OutOfBounds, "b_next[i] = exists", "past the end of B")),
        bug("columns of C off by one", A16, small(), all("setp.lt.s32", "col < end"), Swap("lt", "le"),
            Finding(Coverage, "g.at[col - g.first]", "")),
        bug("a whole granule past a row's end", A16, small(), all("setp.gt.s32", "g.first + 8 <= cols_"), After("setp.ne.u32 $1, $2, $2;"),
            Finding(Coverage, "*reinterpret_cast<uint4*>(g.at) = out", "between the rows")),
        bug("rows of C off by one", A8, tails(), all("setp.ge.u32", "piece < rows_"), Swap("setp.ge.u32", "setp.gt.u32"),
            Finding(OutOfBounds, "", "C")),
        bug("rows of B to copy off by one", A8, tails(), all("setp.lt.u32", "row_exists = "), Swap("lt", "le"),
            Finding(OutOfBounds, "cp_async_zfill", "past the end of B")),
        bug("no mask on the rows to copy", A16, tails(), all("and.pred", "row_exists ? "), After("or.pred $1, $2, $2;"),
            Finding(OutOfBounds, "cp_async_zfill", "past the end of B")),
        bug("granules read without their predicate", A2, tails(), all("@p ld.global.nc", ""), Always,
            Finding(OutOfBounds, "ld_global_nc_16_if", "")),
        bug("whole tile taken for granted", A16, tails(), all("setp.gt.u32...63;", ""), Swap(", 63;", ", 0;"),
            Finding(OutOfBounds, "cp_async<kPiece>", "A")),
        bug("whole depth taken for granted", A16, tails(), all("setp.gt.u32...31;", "k_here == C::kK"), Swap(", 31;", ", 0;"),
            Finding(OutOfBounds, "cp_async<kPiece>", "past the end of B")),
        // Hopper: copies by tensor map, mbarriers, products of warpgroups.
        bug("no barrier after the mbarrier's initialisation", TMA, tiled(), nth("bar.sync", "", 0), Delete,
            Finding(Race, "", "mbarrier")),
        bug("the parity of the phase before", TMA, tiled(), first("mbarrier.try_wait", ""), Before("xor.b32 %r8, %r8, 1;"),
            Finding(Uninitialised, "", "copy still has to write")),
        bug("no fence before the products", TMA, tiled(), first("wgmma.fence", ""), Delete,
            Finding(Race, "", "no wgmma.fence")),
        bug("products not waited for", TMA, tiled(), first("wgmma.wait_group", ""), Delete,
            Finding(Race, "", "")),
        bug("one more group left open than may be", RING, tiled(), first("wgmma.wait_group...1;", ""), Swap(" 1;", " 2;"),
            Finding(Race, "", "")),
        bug("no wait at the end", RING, tiled(), first("wgmma.wait_group...0;", ""), Delete,
            Finding(Race, "", "no wgmma.wait_group")),
        bug("a stage never given back", RING, tiled(), nth("mbarrier.arrive.shared", "", 0), Delete,
            Finding(Deadlock, "", "arrivals")),
        bug("more registers than the block has", RING, tiled(), first("setmaxnreg.inc", ""), Swap("232", "240"),
            Finding(Deadlock, "", "more registers")),
        bug("no registers given back", RING, tiled(), first("setmaxnreg.dec", ""), Delete,
            Finding(Deadlock, "", "more registers")),
        bug("bytes of one operand only awaited", RING, tiled(), first("mbarrier.arrive.expect_tx", ""), Before("sub.u32 $3, $3, 16384;"),
            Finding(Uninitialised, "", "")),
        bug("no fence before C leaves", STAY, tiled(), first("fence.proxy.async", ""), Delete,
            Finding(Race, "", "no fence.proxy.async")),
        bug("rows of C overwritten before they have left", STAY, tiled(), first("cp.async.bulk.wait_group.read", ""), Delete,
            Finding(Race, "", "not ordered after the read by a bulk copy")),
        bug("a tile's column off by one box", STAY, tiled(), first("cp.async.bulk.tensor.2d.global", ""), Before("add.u32 %r14, %r14, 8;"),
            Finding(Coverage, "", "")),
        // Clusters: copies for two blocks, and arrivals at the other's barriers.
        bug("copies for the block itself only", PAIR, tiled(), all("multicast::cluster", ""), Before("mov.b16 $6, 1;"),
            Finding(Deadlock, "mbarrier_try_wait", "8 arrivals")),
        bug("bytes of the block's own copies awaited", PAIR, tiled(), first("mbarrier.arrive.expect_tx", ""), Before("sub.u32 $3, $3, 8192;"),
            Finding(Uninitialised, "Multiply::template multiply<kElement", "a copy still has to write")),
        bug("a stage given back to the block itself only", PAIR, tiled(), first("mapa", ""), After("mov.u32 $1, $2;"),
            Finding(Race, "tma_load_multicast", "of the block of rank 1")),
        bug("no wait for the other block's mbarriers", PAIR, tiled(), nth("barrier.cluster.wait", "", 0), Delete,
            Finding(Trap, "cluster_sync();", "a second arrival")),
        bug("a block that leaves before its peer is done", PAIR, tiled(), last("barrier.cluster", ""), Delete,
            Finding(Race, "", "ends without an order")),
        // Absorption: what lies in front of a row, and where the partner begins.
        bug("the ends of other rows left in", ABSORB, odd(), all("st.shared.v4", "*head = keep_from"), Delete, Values),
        bug("no fence after clearing", ABSORB_B, odd_columns(), first("fence.proxy.async", ""), Delete,
            Finding(Race, "Multiply::template multiply<kElement", "no fence.proxy.async after the write")),
        bug("no barrier after clearing", ABSORB_B, odd_columns(), nth("bar.sync", "", 1), Delete,
            Finding(Race, "Multiply::template multiply<kElement", "not ordered after the write by warp 4")),
        bug("the partner's rows not shifted along", ABSORB, odd(), all("sub", "depth.first - static_cast<int>(tile.shift)"), After("add.s32 $1, $1, 1;"),
            Values),
        bug("no turns", ABSORB, odd(), first("bar.arrive", ""), Delete, Finding(Deadlock, "", "128 arrived, 256 threads needed")),
        bug("all rows of a tile taken for rows of the class", ABSORB, odd(), all("selp.b32", "min(in_class - row, 16u)"), After("mov.u32 $1, 16;"),
            Finding(OutOfBounds, "store_body(segment)", "past the end of C")),
        bug("all columns of a tile taken for columns of the class", ABSORB_B, odd_columns(), all("selp.b32", "min(in_class - tile.operand, P::kN)"),
            After("mov.u32 $1, 128;"), Finding(Coverage, "output.store_columns", "a second time")),
        bug("columns of a class one apart", ABSORB_B, odd_columns(), all("shl.b32", "x.period * 2"), After("mov.u32 $1, 2;"),
            Finding(Coverage, "output.store_columns", "a second time")),
        // Realignment by the producer warps.
        bug("no fence after realigning", REALIGN, odd(), first("fence.proxy.async", ""), Delete,
            Finding(Race, "Multiply::template multiply<kElement", "no fence.proxy.async after the write by warp 0")),
        bug("no arrival of the producers", REALIGN, odd(), first("mbarrier.expect_tx", ""), Delete,
            Finding(Uninitialised, "Multiply::template multiply<kElement", "a copy still has to write")),
        bug("shifted the wrong way", REALIGN, odd(), all("shf.r.wrap", ""), Swap("shf.r", "shf.l"), Values),
        bug("granules behind the end", REALIGN, odd(), all("setp.le.s64", "granule + (both ? 32 : 16) > end"), After("setp.eq.u32 $1, %r1, %r1;"),
            Finding(OutOfBounds, "high_[i] = ld_global_nc_16_if", "B of")),
        // Split-K.
        bug("a share that goes on for a step", SPLIT, whole(), all("shl.b32", "p.k = min(p.k - k0"), After("add.u32 $1, $1, 32;"), Values),
        bug("a part of the sums not kept", SPLIT, whole(), first("st.global.v4.f32", ""), Delete,
            Finding(Coverage, "", "never written")),
        bug("a part too many added", SPLIT_SUM, whole(), all("sub.s32", "min(plan.splits - split"), After("add.s32 $1, $1, 1;"), Finding(OutOfBounds, "more[j][i] = from", "past the end of parts")),
        bug("a part not read", SPLIT_SUM, whole(), first("ld.global.v4.f32", "more[j][i]"), Delete, Finding(Uninitialised, "", "")),
        bug("no barrier before the sum's tile is stored", SPLIT_SUM, whole(), last("bar.sync", ""), Delete,
            Finding(Uninitialised, "store_granules", "nothing has written")),
        // Swapped operands.
        bug("few rows not transposed", SWAP, narrow(), all("ldmatrix...x2", ""), Swap(".x2", ".x2.trans"), Values),
        bug("no wait for the first stage of swapped operands", SWAP, narrow(), first("cp.async.wait_group", ""), Delete, Finding(Uninitialised, "", "asynchronous copy still has to write")),
        bug("C stored before it is staged", SWAP_WGMMA, narrow(), nth("bar.sync", "", 2), Delete, Finding(Uninitialised, "store_granules", "nothing has written")),
        bug("the next tile staged over one that leaves", SWAP_WGMMA, Problem { pad: 1, ..Problem::new([13, 1100, 200]) }, last("bar.sync", ""), Delete, Finding(Race, "Type::finish", "not ordered after the read")),
        bug("a stage not given back", SWAP_WGMMA, narrow(), first("mbarrier.arrive.shared", ""), Delete, Finding(Deadlock, "", "8 arrivals and 0 bytes missing")),
        // Few rows or columns.
        bug("the granule of the other neighbour", ROWS, vectors(3, 203), all("shfl.sync.down", ""), Swap("down", "up"), Values),
        bug("no barriers around the vectors", ROWS, vectors(3, 203), all("bar.sync", SYNC), Delete, Finding(Uninitialised, "Type::load(stored", "nothing has written")),
        bug("no barrier before the warps' sums", ROWS, vectors(1, 203), last("bar.sync", ""), Delete, Finding(Race, "sums[(v * 8 + e)", "not ordered after the read")),
        bug("lanes left out of the tree", COLUMNS, vectors(203, 1), all("shfl.sync.bfly", ""), Swap("bfly", "up"), Values),
        bug("rows off by one", COLUMNS, vectors(203, 3), all("setp.ge.u32", "lane < kRows * kVectors && row < in.rows"), Swap("ge", "gt"), Finding(Race, "plan.parts[", "into parts, also written by block 0")),
        bug("an element too many summed", COLUMNS_SUM, vectors(203, 3), first("setp.ge.u64", "i >= stride"), Swap("ge", "gt"), Finding(OutOfBounds, "sum += plan.parts", "past the end of parts")),
        bug("an element too few summed", COLUMNS_SUM, vectors(203, 3), first("setp.ge.u64", "i >= stride"), Before("add.s64 $2, $2, 1;"), Finding(Coverage, "", "2 bytes never written")),
        // Packing.
        bug("rows to pack off by one", RESTRIDE, odd(), all("setp.ge.u32", "row < p.rows && lane * 16 < bytes"), Swap("ge", "gt"), Finding(OutOfBounds, "= chunks[i]", "past the end of copy of A")),
        bug("chunks behind a row's end", RESTRIDE, odd(), all("or.pred", "row < p.rows && lane * 16 < bytes"), After("mov.pred $1, $3;"), Finding(Coverage, "= chunks[i]", "between the rows")),
        bug("the other neighbour's granule packed", RESTRIDE, odd(), all("shfl.sync.down", ""), Swap("down", "up"), Values),
        bug("no barrier before the transpose", TRANSPOSE, odd(), first("bar.sync", ""), Delete, Finding(Uninitialised, "rows[i] =", "nothing has written")),
        bug("two elements of a word exchanged", TRANSPOSE, odd(), first("prmt.b32...21520;", ""), Swap("21520", "4180"), Values),
        bug("columns to transpose off by one", TRANSPOSE, odd(), all("setp.ge.u32", "col < p.cols"), Swap("ge", "gt"), Finding(OutOfBounds, "= out[j]", "past the end of copy of A")),
        // Alignment.
        bug("rows of C said to be aligned", A16, padded(), all("setp.eq.s32", "& 15) == 0"), Swap("eq", "ne"),
            Finding(Misaligned, "*reinterpret_cast<uint4*>(g.at) = out", "modulo 16")),
        bug("widest load whatever the alignment", WMMA, padded(), all("setp.eq.s32", "bits % 16 == 0"), Swap("eq", "ne"),
            Finding(Misaligned, "reinterpret_cast<const uint4*>(from)", "modulo 16")),
        bug("copies of 16 bytes from 8", A16, whole(), first("cvta.to.global.u64", ""), After("add.s64 $1, $1, 8;"),
            Finding(Misaligned, "cp_async<kPiece>", "8 modulo 16")),
        bug("copy half of what was meant to be copied", A8, whole(), all("cp.async.ca...], 8;", ""), Swap("], 8;", "], 4;"),
            Finding(Uninitialised, LOAD_A, "nothing has written")),
        bug("rows of a fragment half a chunk off", A16, whole(), first("ldmatrix", ""), Swap("];", "+8];"),
            Finding(Misaligned, LOAD_A, "8 modulo 16")),
        // Barriers.
        bug("no barrier after the first tile", TILED, tails(), nth("bar.sync", SYNC, 0), Delete,
            Finding(Uninitialised, "const float4*>(stage + ", "nothing has written")),
        bug("no barrier after a step", TILED, tails(), nth("bar.sync", SYNC, 1), Delete,
            Finding(Uninitialised, "const float4*>(stage + ", "nothing has written")),
        bug("stages do not alternate", TILED, tails(), first("xor.b32", "reading ^= 1"), Swap(", 1;", ", 0;"),
            Finding(Race, "const float4*>(stage + ", "not ordered after the write")),
        bug("no barrier before C is blended", TILED, added(), nth("bar.sync", SYNC, 2), Delete,
            Finding(Uninitialised, "to = p.beta != 0.0f ? finish_pair", "nothing has written")),
        bug("no barrier before C is stored", TILED, tails(), nth("bar.sync", SYNC, 3), Delete,
            Finding(Uninitialised, "chunk(g.row, g.index)", "nothing has written")),
        bug("no barrier before the multiplication", WMMA, tails(), nth("bar.sync", SYNC, 0), Delete,
            Finding(Uninitialised, "load_matrix_sync", "nothing has written")),
        bug("no barrier after the multiplication", WMMA, tails(), nth("bar.sync", SYNC, 1), Delete,
            Finding(Race, "load_matrix_sync", "not ordered after the write")),
        bug("no barrier after the pipeline is full", A16, whole(), nth("bar.sync", SYNC, 0), Delete,
            Finding(Uninitialised, LOAD_A, "nothing has written")),
        bug("no barrier in the main loop", A16, whole(), nth("bar.sync", SYNC, 1), Delete,
            Finding(Uninitialised, LOAD_A, "no wait for its group")),
        bug("a barrier of half of the warps", A16, whole(), nth("bar.sync", SYNC, 1), Swap("0;", "0, 64;"),
            Finding(Race, "cp_async<kPiece>", "not ordered after the read by warp")),
        bug("no barrier before the epilogue", A16, Problem::new([64, 64, 224]), nth("bar.sync", SYNC, 2), Delete,
            Finding(Race, LOAD_A, "not ordered after the write by warp 0 at kernels/tile/mma_tile.cuh")),
        bug("no barrier before the blend", A16, added(), nth("bar.sync", SYNC, 3), Delete,
            Finding(Race, "", "")),
        bug("no barrier before the store", A16, whole(), nth("bar.sync", SYNC, 4), Delete,
            Finding(Race, "finish_pair<Type>(first, second, p.alpha)", "not ordered after the read")),
        bug("no barrier in the shifted loop", A2, whole(), nth("bar.sync", SYNC, 0), Delete,
            Finding(Uninitialised, LOAD_A, "nothing has written")),
        bug("one thread does not come to the barrier", A16, whole(), nth("bar.sync", SYNC, 2), 
            Swap("bar.sync 0;", "{ .reg .b32 t; .reg .pred q; mov.u32 t, %tid.x; setp.ne.u32 q, t, 7; @q bar.sync 0; }"),
            Finding(Divergence, SYNC, "")),
        // Asynchronous copies.
        bug("no wait for the first stage", A16, whole(), first("cp.async.wait_group 5", ""), Delete,
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
        bug("no wait in the main loop", A16, whole(), first("cp.async.wait_group 4", ""), Delete,
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
        bug("a wait that leaves one group too many", A16, whole(), first("cp.async.wait_group 4", ""), Swap("4", "5"),
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
        bug("a wait that leaves one group too many, of three", LARGE, Problem::new([128, 256, 160]),
            first("cp.async.wait_group 1", ""), Swap("1", "2"),
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
        bug("no commit of later steps", A16, whole(), nth("cp.async.commit_group", "", 1), Delete,
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
        bug("some rows never copied", A16, whole(), all("cp.async.cg...], 16;", ""), Delete,
            Finding(Uninitialised, LOAD_A, "nothing has written")),
        bug("a copy forgotten in the main loop", A16, whole(), last("cp.async.cg...], 16;", ""), Delete, Values),
        bug("the next stage is half a stage on", A16, whole(), first("add.s32", "C::kStageBytes == C::kSharedBytes"), Swap("8192", "4096"),
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
        bug("the ring is one stage too long", A16, whole(), first("setp", "C::kStageBytes == C::kSharedBytes"), Swap("49152", "57344"),
            Finding(OutOfBounds, "", "")),
        bug("as many bytes as there are halves", A8, tails(), all("shl.b32", "const unsigned cols_bytes = "), Swap(", 1;", ", 0;"), Values),
        bug("zero fill of more than is copied", A8, tails(), all("selp.b32", "row_exists ? inside : 0"), After("shl.b32 $1, $1, 1;"),
            Finding(Trap, "cp_async_zfill", "8 bytes with a source size of 16")),
        // Numbers alone.
        bug("B not transposed", A16, whole(), first("ldmatrix...trans", ""), Swap(".trans", ""), Values),
        bug("A transposed", A16, whole(), first("ldmatrix...m8n8.x4.shared", ""), Swap("x4.shared", "x4.trans.shared"), Values),
        bug("swizzle of reads and writes differ", A16, whole(), first("xor.b32", "return row * kPitch"), Swap("xor", "or"), Values),
        bug("pitch of a fragment of A", WMMA, whole(), first("mov.u32...40;", ""), Swap("40", "48"),
            Finding(Uninitialised, "load_matrix_sync", "nothing has written")),
        bug("half of a fragment used twice", A16, whole(), first("ldmatrix...trans", ""), After("mov.b32 $3, $2;"), Values),
        bug("halves shifted the wrong way", A2, Problem { pad: 5, ..tails() }, all("shf.r.wrap", ""), Swap("shf.r", "shf.l"), Values),
        bug("C not added", A16, added(), all("fma.rn.f32", "__fmaf_rn(beta"), After("mov.f32 $1, $4;"), Values),
        bug("a product left out", TILED, whole(), first("fma.rn.f32", "__fmaf_rn(ai"), Delete,
            Finding(Uninitialised, "finish_pair", "nothing has written")),
        bug("no wait in the main loop, 4-byte copies", A4, Problem::new([130, 64, 160]), first("cp.async.wait_group 2", ""), Delete,
            Finding(Uninitialised, LOAD_A, "asynchronous copy still has to write")),
    ]
}

fn of(name: &str) -> &'static Variant {
    variants().iter().chain(routed()).find(|v| v.name == name).unwrap_or_else(|| panic!("no variant {name}"))
}

/// What is wrong with how a bug was caught.
fn judge(bug: &Bug) -> Option<String> {
    let variant = of(bug.variant);
    let outcome = match bug.problem.run(variant, &mutate(&variant.ptx, bug.pick, bug.edit)) {
        Ok(outcome) => outcome,
        Err(refused) => return Some(format!("not run: {refused:?}")),
    };
    let findings: Vec<String> = outcome
        .findings
        .iter()
        .take(3)
        .map(|f| format!("\n      {f}\n        at: {}", source_line(&f.source)))
        .collect();
    let right = match bug.caught {
        Values => outcome.findings.is_empty() && outcome.wrong > 0,
        Finding(kind, line, text) => outcome
            .findings
            .first()
            .is_some_and(|f| f.kind == kind && source_line(&f.source).contains(line) && f.message.contains(text)),
    };
    (!right).then(|| format!("{} wrong elements{}", outcome.wrong, findings.concat()))
}

#[test]
fn seeded_bugs_are_caught_where_they_are() {
    let bugs = bugs();
    let missed = on_two_threads(&bugs, |bug| judge(bug).map(|said| format!("{} ({}): {said}", bug.name, bug.variant)));
    assert!(missed.is_empty(), "{} of {} bugs:\n  {}", missed.len(), bugs.len(), missed.join("\n  "));
}

#[test]
fn the_kernels_without_them_are_clean() {
    let mut twins: Vec<(&str, Problem)> = Vec::new();
    for bug in bugs() {
        if !twins.contains(&(bug.variant, bug.problem)) {
            twins.push((bug.variant, bug.problem));
        }
    }
    let wrong = on_two_threads(&twins, |(name, problem)| {
        let variant = of(name);
        let outcome = problem.run(variant, &variant.ptx).expect("it ships");
        (!outcome.clean()).then(|| format!("{name} {problem:?}: {outcome:?}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
