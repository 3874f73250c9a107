//! From a variant and a problem to launches: parameters, grids, tensor maps and workspaces.

use crate::catalog::{Half, How, Maps, Variant};
use crate::problem::Problem;
use gpu_emulator::{Device, Region, TensorMap};

/// A problem's operands in device memory, with A, B and C in this order everywhere.
pub(crate) struct Placed {
    pub(crate) at: [u64; 3],
    /// Elements from row to row.
    pub(crate) ld: [usize; 3],
}

/// One launch.
pub(crate) struct Launch<'a> {
    pub(crate) ptx: &'a str,
    pub(crate) entry: &'a str,
    pub(crate) blocks: u32,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
    pub(crate) params: Vec<u8>,
    /// What it has to write, each byte once.
    pub(crate) output: Region,
}

/// Blocks that stay for more than one tile.
const STAY: usize = 4;

/// Blocks that share k, and how much of it each of them takes in a product with few vectors.
const SHARES: usize = 3;
const SHARE_OF_VECTORS: usize = 1024;

/// The launches of a variant whose own text is `ptx`.
pub(crate) fn launches<'a>(
    problem: &Problem,
    variant: &'a Variant,
    ptx: &'a str,
    placed: &Placed,
    device: &mut Device,
) -> Vec<Launch<'a>> {
    let [m, n, k] = problem.sizes;
    let [tile_m, tile_n, _] = variant.tile.map(|t| t as usize);
    let ([a, b, c], [lda, ldb, ldc]) = (placed.at, placed.ld);
    let of_c = Region { address: c, row_bytes: 2 * n as u64, rows: m as u64, pitch: 2 * ldc as u64 };
    let tiles = m.div_ceil(tile_m) * n.div_ceil(tile_n);
    let own = |blocks: usize, params: Vec<u8>, output: Region| Launch {
        ptx,
        entry: &variant.entry,
        blocks: blocks as u32,
        threads: variant.threads,
        shared_bytes: variant.shared_bytes,
        params,
        output,
    };
    match &variant.how {
        How::Plain => vec![own(tiles, gemm_params(problem, placed, 0), of_c)],
        How::Maps(maps) => {
            // The hardware cuts rows of C at 16 bytes: where they begin and end there, C goes out by the map.
            let by_map = (c | (2 * (ldc | n) as u64)).is_multiple_of(16);
            let mut params = gemm_params(problem, placed, u32::from(by_map) | maps.group << 8);
            params.resize(128, 0);
            for (operand, address) in [a, b].into_iter().enumerate() {
                let (size, part) = (stored(problem, variant, operand), maps.parts[operand] as usize);
                let boxes = operand_box(part, along_k(variant, operand));
                // An operand of any alignment comes another way.
                let aligned = variant.align_bytes[operand] == 16;
                params.extend(if aligned { map(address, size, placed.ld[operand], boxes) } else { [0; 128] });
            }
            params.extend(if by_map { map(c, [m, n], ldc, [operand_box(tile_n, false)[0], 16]) } else { [0; 128] });
            vec![own(blocks_of(maps, tiles_in_clusters(maps, [tile_m, tile_n], [m, n])), params, of_c)]
        }
        How::Absorb(maps) => {
            let (params, tiles) = absorb_params(problem, variant, maps, placed);
            vec![own(blocks_of(maps, tiles), params, of_c)]
        }
        How::Split(half) => {
            let bytes = (tiles * SHARES * tile_m * tile_n * 4) as u64;
            let parts = device.memory.alloc(bytes, "parts").expect("memory");
            let mut params = gemm_params(problem, placed, 0);
            params.extend(parts.to_le_bytes());
            [SHARES as u32, 0, 0, 0].iter().for_each(|v| params.extend(v.to_le_bytes()));
            let of_parts = Region { address: parts, row_bytes: bytes, rows: 1, pitch: bytes };
            // The sum turns a tile of C in shared memory.
            let c_bytes = (tile_m * tile_n * 2) as u32;
            two(own(tiles * SHARES, params, of_parts), half, [tiles as u32, variant.threads, c_bytes], of_c)
        }
        How::Vectors { rows, half } => {
            let (large, few) = if *rows { (n, m) } else { (m, n) };
            let splits = k.div_ceil(SHARE_OF_VECTORS).max(1);
            let bytes = (splits * large * few * 4) as u64;
            let parts = device.memory.alloc(bytes, "parts").expect("memory");
            let mut params = gemm_params(problem, placed, 0);
            params.extend(parts.to_le_bytes());
            let few_along_k = along_k(variant, usize::from(!rows));
            let plan = [splits as u32, SHARE_OF_VECTORS as u32, u32::from(*rows), u32::from(few_along_k)];
            plan.iter().for_each(|v| params.extend(v.to_le_bytes()));
            let of_parts = Region { address: parts, row_bytes: bytes, rows: 1, pitch: bytes };
            let blocks = large.div_ceil(if *rows { 64 } else { 32 }) * splits;
            let second = [(large * few).div_ceil(256) as u32, 256, 0];
            two(own(blocks, params, of_parts), half, second, of_c)
        }
        How::Pack { transposes, then } => {
            let [rows, cols] = stored(problem, variant, 0);
            let [copied_rows, copied_cols] = if *transposes { [cols, rows] } else { [rows, cols] };
            let ld = copied_cols.next_multiple_of(64);
            let copy = device.memory.alloc(2 * (copied_rows * ld) as u64, "copy of A").expect("memory");
            let mut params = Vec::new();
            [a, copy, lda as u64, ld as u64].iter().for_each(|v| params.extend(v.to_le_bytes()));
            [rows, cols].iter().for_each(|&v| params.extend((v as u32).to_le_bytes()));
            let row_bytes = 2 * copied_cols.next_multiple_of(8) as u64;
            let of_copy = Region { address: copy, row_bytes, rows: copied_rows as u64, pitch: 2 * ld as u64 };
            let block = if *transposes { [64, 64] } else { [32, 256] };
            let packs = own(rows.div_ceil(block[0]) * cols.div_ceil(block[1]), params, of_copy);
            let packed = Placed { at: [copy, b, c], ld: [ld, ldb, ldc] };
            let multiplies = Launch {
                ptx: &then.ptx,
                entry: &then.entry,
                blocks: tiles as u32,
                threads: then.threads,
                shared_bytes: then.shared_bytes,
                params: gemm_params(problem, &packed, 0),
                output: of_c,
            };
            vec![Launch { shared_bytes: 0, ..packs }, multiplies]
        }
    }
}

/// The two launches of a variant that is one of them, given what the first would be with the variant's own text, and the blocks, threads
/// and shared memory of the second.
fn two<'a>(
    first: Launch<'a>,
    half: &'a Half,
    [blocks, threads, shared_bytes]: [u32; 3],
    output: Region,
) -> Vec<Launch<'a>> {
    let params = first.params.clone();
    let (own, other) = ((first.ptx, first.entry), (half.ptx.as_str(), half.entry.as_str()));
    let [(ptx_1, entry_1), (ptx_2, entry_2)] = if half.second { [other, own] } else { [own, other] };
    let second = Launch { ptx: ptx_2, entry: entry_2, blocks, threads, shared_bytes, params, output };
    vec![Launch { ptx: ptx_1, entry: entry_1, ..first }, second]
}

/// `GemmParams` of `kernels/params.cuh`.
fn gemm_params(problem: &Problem, placed: &Placed, reserved: u32) -> Vec<u8> {
    let mut params = Vec::new();
    placed.at.iter().for_each(|v| params.extend(v.to_le_bytes()));
    placed.ld.iter().for_each(|&v| params.extend((v as u64).to_le_bytes()));
    problem.sizes.iter().for_each(|&v| params.extend((v as u32).to_le_bytes()));
    [1.0, problem.beta].iter().for_each(|v: &f32| params.extend(v.to_le_bytes()));
    params.extend(reserved.to_le_bytes());
    params
}

/// `GemmParams` and `Absorption` of `kernels/gemm/08_absorb.cuh`, and how many tiles there are.
fn absorb_params(problem: &Problem, variant: &Variant, maps: &Maps, placed: &Placed) -> (Vec<u8>, usize) {
    let [m, n, _] = problem.sizes;
    let operand = usize::from(!along_k(variant, 0));
    let partner = 1 - operand;
    let (size, ld) = (stored(problem, variant, operand), placed.ld[operand]);
    // Rows whose numbers differ by so many start equally far behind a multiple of 16 bytes.
    let period = (1..=8).find(|p| (p * ld).is_multiple_of(8)).expect("eight do");
    let (c, ldc) = (placed.at[2], placed.ld[2]);
    let by_map = operand == 0 && (c | (2 * (ldc | n) as u64)).is_multiple_of(16);
    let (mut of_operand, mut of_c) = (Vec::new(), Vec::new());
    let (mut shifts, mut ends, mut units) = (Vec::new(), Vec::new(), 0);
    for class in 0..8 {
        let rows = if class < period { size[0].saturating_sub(class).div_ceil(period) } else { 0 };
        let first = placed.at[operand] + 2 * (class * ld) as u64;
        let shift = first % 16 / 2;
        if rows == 0 {
            of_operand.extend([0; 128]);
            of_c.extend([0; 128]);
            shifts.push(0);
        } else {
            let boxes = operand_box(maps.parts[operand] as usize, true);
            of_operand.extend(map(first - 2 * shift, [rows, size[1] + shift as usize], period * ld, boxes));
            let boxes = [operand_box(variant.tile[1] as usize, false)[0], 16];
            let row = c + 2 * (class * ldc) as u64;
            of_c.extend(if by_map { map(row, [rows, n], period * ldc, boxes) } else { [0; 128] });
            shifts.push(shift as u32);
            units += rows.div_ceil((variant.tile[operand] * maps.cluster) as usize);
        }
        ends.push(units as u32);
    }
    let mut params = gemm_params(problem, placed, u32::from(by_map) | maps.group << 8);
    params.resize(128, 0);
    params.extend(of_operand);
    params.extend(of_c);
    let boxes = operand_box(maps.parts[partner] as usize, false);
    params.extend(map(placed.at[partner], stored(problem, variant, partner), placed.ld[partner], boxes));
    shifts.iter().chain(&ends).for_each(|v| params.extend(v.to_le_bytes()));
    [period as u32, 0].iter().for_each(|v| params.extend(v.to_le_bytes()));
    params.resize(128 + 2304, 0);
    let across = if operand == 0 { n } else { m };
    (params, units * maps.cluster as usize * across.div_ceil(variant.tile[partner] as usize))
}

/// Whether an operand's rows run along K as it is stored.
fn along_k(variant: &Variant, operand: usize) -> bool {
    variant.transposed[operand] == (operand == 1)
}

/// Rows and columns of A or B as stored.
pub(crate) fn stored(problem: &Problem, variant: &Variant, operand: usize) -> [usize; 2] {
    let [m, n, k] = problem.sizes;
    let [rows, cols] = [[m, k], [k, n]][operand];
    if variant.transposed[operand] { [cols, rows] } else { [rows, cols] }
}

/// Tiles in whole clusters, whose blocks are neighbours along the dimension that does not tell their shared operand.
fn tiles_in_clusters(maps: &Maps, [tile_m, tile_n]: [usize; 2], [m, n]: [usize; 2]) -> usize {
    let [part_m, part_n] = maps.parts.map(|p| p as usize);
    let (along_m, along_n) = (tile_m * (tile_n / part_n), tile_n * (tile_m / part_m));
    m.div_ceil(along_m) * n.div_ceil(along_n) * maps.cluster as usize
}

fn blocks_of(maps: &Maps, tiles: usize) -> usize {
    if maps.persistent { tiles.min(STAY) } else { tiles }
}

/// A box is 64 of the depth by the part of a tile, or runs as wide as a swizzle by 64 of the depth.
fn operand_box(part: usize, along_k: bool) -> [u32; 2] {
    let run = [64, 32].into_iter().find(|run| part.is_multiple_of(*run)).unwrap_or(16);
    if along_k { [64, part as u32] } else { [run as u32, 64] }
}

fn map(addr: u64, [rows, cols]: [usize; 2], ld: usize, boxes: [u32; 2]) -> [u8; 128] {
    let (dims, strides, boxes) = (vec![cols as u64, rows as u64], vec![2 * ld as u64], boxes.to_vec());
    let t = TensorMap { elem: 2, swizzle: 2 * boxes[0], nan_fill: false, addr, dims, strides, boxes };
    t.encode().expect("a map")
}
