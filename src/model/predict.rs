//! The time that a kernel should take for a problem, cause by cause.

use super::budget::{Budget, Cause};
use super::roofline::{Roofline, roofline};
use super::sustained::{Sustained, sustained};
use super::waves::{Occupancy, Waves, occupancy, usable_sms, waves};
use super::{DeviceDescription, Execution, Order};
use crate::catalog::{Kernel, Variant};
use crate::problem::{Operand, Problem};
use serde::Serialize;

/// What the model takes for granted because nobody has published it. A measurement may replace any of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumptions {
    /// From the start of an empty kernel to the start of the next.
    pub launch_ns: f64,
    /// From the first load of a CTA to its first product.
    pub latency_ns: f64,
    /// Share of DRAM's published bandwidth that a kernel gets.
    pub memory_share: f64,
    /// Warps that keep a multiprocessor busy: two for each of its four schedulers. CTAs that are alone on theirs run at the share of
    /// it that they have.
    pub busy_warps: u32,
    /// What the CTAs of a cluster wait for each other, at the start of a launch and at its end. An open H100 project published what a
    /// cluster of two loses where it gains nothing: 11 % at 2048 x 2048 x 512, 8.4 % at 2048 cubed, 0.6 % at 4096 cubed, which at its own
    /// throughput is one to two microseconds each.
    pub cluster_ns: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Assumptions { launch_ns: 2000.0, latency_ns: 600.0, memory_share: 0.9, busy_warps: 8, cluster_ns: 1000.0 }
    }
}

/// What sets the pace once every tile is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The multipliers and the instructions that feed them.
    Multipliers,
    /// DRAM.
    Memory,
    /// L2, or a multiprocessor's port to it.
    L2,
    /// The banks of shared memory.
    SharedMemory,
}

/// What a problem should cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// What the time is spent on.
    pub budget: Budget,
    /// Tiles of C.
    pub tiles: u64,
    /// How many CTAs a multiprocessor holds.
    pub occupancy: Occupancy,
    /// The rounds in which the tiles are computed.
    pub waves: Waves,
    /// m·n over the area of the tiles.
    pub tile_efficiency: f64,
    /// k over the depth that is multiplied.
    pub k_efficiency: f64,
    /// What sets the pace.
    pub limit: Limit,
    /// Bytes that must come from DRAM or go there at least once.
    pub memory_bytes: u64,
    /// Bytes that tiles fetch and store through L2, sectors that are touched for a part included.
    pub l2_bytes: u64,
    /// Intensity against the device's balance; `None` where the bandwidth is unknown.
    pub roofline: Option<Roofline>,
    /// The share of the peak that the kernel's unit reaches.
    pub sustained: Sustained,
    /// 2·m·n·k.
    pub flop: u64,
}

impl Prediction {
    /// The time, in nanoseconds.
    pub fn total_ns(&self) -> f64 {
        self.budget.total_ns()
    }

    /// 10^12 FLOP per second at that time.
    pub fn tflops(&self) -> f64 {
        self.flop as f64 / self.total_ns() / 1e3
    }
}

/// Predicts what `variant` of `kernel` costs for a problem on a device, operands coming from DRAM.
///
/// Whether the variant can run the problem at all is for [`dispatch`](crate::dispatch) to say.
///
/// ```
/// use gemmscope::{Problem, catalog, model};
/// let h100 = model::DeviceDescription::named("h100-sxm").unwrap();
/// let kernel = catalog::catalog().kernels.iter().find(|k| k.name == "04_mma").unwrap();
/// let p = model::predict(&Problem::new(2049, 2049, 4096), kernel, &kernel.variants[0], h100);
/// let sum: u64 = p.budget.parts().iter().map(|part| part.time_ps).sum();
/// assert_eq!(sum, p.budget.total_ps());
/// ```
pub fn predict(problem: &Problem, kernel: &Kernel, variant: &Variant, device: &DeviceDescription) -> Prediction {
    let (execution, problem) = Execution::on(problem, kernel, variant, device);
    predict_execution(&problem, &execution, device)
}

/// As [`predict`], for a kernel that need not exist.
pub fn predict_execution(problem: &Problem, execution: &Execution, device: &DeviceDescription) -> Prediction {
    predict_with(problem, execution, device, &Assumptions::default())
}

/// As [`predict_execution`], with other assumptions.
pub fn predict_with(
    problem: &Problem,
    execution: &Execution,
    device: &DeviceDescription,
    assumptions: &Assumptions,
) -> Prediction {
    let sustained = sustained_on(execution, device);
    let rate = Rate::of(problem, execution, device, &sustained);
    let occupancy = occupancy(execution, device);
    let waves = waves(problem, execution, device);
    let mut at = [0.0; Cause::ALL.len()];
    let mut set = |cause: Cause, ns: f64| at[cause as usize] = ns;

    let sms = f64::from(device.sms.value);
    let area = problem.m as f64 * problem.n as f64;
    let depth = execution.slice_k(problem) as f64 * execution.split_k as f64;
    let [tile_m, tile_n, tile_k] = execution.tile.map(|t| t as f64);
    let tiles = execution.tiles(problem);

    set(Cause::Useful, 2.0 * area * problem.k as f64 / sms / rate.peak);
    set(Cause::Kernel, 2.0 * area * problem.k as f64 / sms / rate.reached);
    set(Cause::KTail, 2.0 * area * depth / sms / rate.reached);
    let slices = tiles as f64 * execution.split_k as f64;
    let item_ns = 2.0 * tile_m * tile_n * execution.slice_k(problem) as f64 / rate.reached;
    set(Cause::TileTail, slices * item_ns / sms);
    let phases = phases(execution, device, &waves, occupancy.ctas, assumptions);
    let rounds: f64 = phases.iter().map(|p| p.rounds).sum();
    set(Cause::WaveTail, rounds * item_ns);

    // Instructions that a narrower path needs for each item take issue slots that nothing hides.
    let clock_ghz = device.clock_mhz.value / 1e3;
    let row_bytes = execution.slice_k(problem) as f64 * problem.dtype.bytes() as f64;
    let extra = |load_bytes: u64| {
        (copy_instructions(load_bytes) - copy_instructions(execution.widest_load_bytes)).max(0.0) * row_bytes / 512.0
    };
    let [load_a, load_b] = execution.load_bytes.map(extra);
    let issue_ns =
        if device.is_cpu() { 0.0 } else { (tile_m * load_a + tile_n * load_b) / ISSUE_PER_CLOCK / clock_ghz };
    let beside = |item_ns: f64| if execution.asynchronous { item_ns.max(issue_ns) } else { item_ns + issue_ns };
    set(Cause::Alignment, rounds * beside(item_ns));

    let memory_bytes = problem.compulsory_bytes();
    let memory_ns = device
        .memory_bytes_per_s
        .as_ref()
        .map_or(0.0, |bandwidth| memory_bytes as f64 / (bandwidth.value * assumptions.memory_share) * 1e9);
    // Columns of C that lie apart are stored a sector for each.
    let c_tile_bytes = tile_m * tile_n * problem.dtype.c_bytes() as f64;
    let item_l2_bytes = fetched_bytes(problem, execution) + c_tile_bytes * execution.classes[1] as f64;
    // The guides' arithmetic knows no L2.
    let through_l2 = execution.unit != "textbook";
    let l2_ns = device.l2_bytes_per_s.as_ref().filter(|_| through_l2).map_or(0.0, |l2| item_l2_bytes / l2.value * 1e9);
    let port = device.fill_bytes_per_clock.as_ref().filter(|_| through_l2);
    let port_ns = port.map_or(0.0, |fill| item_l2_bytes / fill.value / clock_ghz);
    let shared_ns =
        if device.is_cpu() { 0.0 } else { shared_bytes(problem, execution) / SHARED_BYTES_PER_CLOCK / clock_ghz };
    let (mut multiplied_ns, mut staged_ns, mut reached_ns) = (0.0, 0.0, 0.0);
    for phase in &phases {
        let at_banks_ns = phase.on_busiest * shared_ns;
        let multiplied = phase.rounds * beside(item_ns);
        // Instructions that are not issued beside the products are not issued beside the reads for these either.
        let staged = if execution.asynchronous {
            multiplied.max(at_banks_ns)
        } else {
            (phase.rounds * item_ns).max(at_banks_ns) + phase.rounds * issue_ns
        };
        multiplied_ns += multiplied;
        staged_ns += staged;
        reached_ns += staged.max(phase.items * l2_ns).max(phase.on_busiest * port_ns);
    }
    let fed_ns = memory_ns.max(reached_ns);
    set(Cause::Memory, fed_ns);
    let limit = if memory_ns > reached_ns {
        Limit::Memory
    } else if reached_ns > staged_ns {
        Limit::L2
    } else if staged_ns > multiplied_ns {
        Limit::SharedMemory
    } else {
        Limit::Multipliers
    };

    // With two CTAs on a multiprocessor, or one that goes on to its next tile, one's ends hide under the other's products.
    let overlapped = occupancy.ctas >= 2 || execution.order != Order::OnePerTile;
    let ends = if overlapped { 1.0 } else { (waves.full + u64::from(waves.tail > 0)) as f64 };
    let store_ns = device.fill_bytes_per_clock.as_ref().map_or(0.0, |port| c_tile_bytes / port.value / clock_ghz);
    let (latency_ns, launch_ns) =
        if device.is_cpu() { (0.0, 0.0) } else { (assumptions.latency_ns, assumptions.launch_ns) };
    // Nothing is loaded where there is no depth.
    let fill_ns = if tile_k > 0.0 && problem.k > 0 { latency_ns } else { 0.0 };
    let cluster_ns = if execution.cluster > 1 { assumptions.cluster_ns } else { 0.0 };
    let ended_ns = fed_ns + ends * (fill_ns + store_ns) + cluster_ns;
    set(Cause::Ends, ended_ns);

    // FP32 partial sums are written and read once more.
    let partial_bytes = match execution.order {
        // A CTA leaves at most two tiles unfinished.
        Order::StreamK => {
            let sharing = if execution.stream_ctas == 0 { waves.slots.min(waves.items) } else { execution.stream_ctas };
            2.0 * 4.0 * tile_m * tile_n * 2.0 * sharing as f64
        }
        _ if execution.split_k > 1 => 2.0 * 4.0 * area * execution.split_k as f64,
        _ => 0.0,
    };
    let bandwidth = device.l2_bytes_per_s.as_ref().or(device.memory_bytes_per_s.as_ref()).map(|b| b.value);
    // A tile's parts are added up by one CTA, through its multiprocessor's port.
    let parts_bytes = if execution.split_k > 1 { 4.0 * tile_m * tile_n * execution.split_k as f64 } else { 0.0 };
    let summed_ns = device
        .fill_bytes_per_clock
        .as_ref()
        .map_or(0.0, |port| (tiles as f64 / sms).ceil() * parts_bytes / port.value / clock_ghz);
    let reduced_ns = ended_ns + bandwidth.map_or(0.0, |b| partial_bytes / b * 1e9).max(summed_ns);
    set(Cause::Reduction, reduced_ns);
    let packed_ns = reduced_ns + packing_ns(execution, device, assumptions);
    set(Cause::Pack, packed_ns);
    set(Cause::Launch, packed_ns + launch_ns * f64::from(execution.launches.max(1)));

    Prediction {
        budget: Budget::from_cumulative(at),
        tiles,
        occupancy,
        waves,
        tile_efficiency: execution.tile_efficiency(problem),
        k_efficiency: execution.k_efficiency(problem),
        limit,
        memory_bytes,
        l2_bytes: (item_l2_bytes * slices) as u64,
        roofline: roofline(problem, device),
        sustained,
        flop: problem.flop(),
    }
}

/// Time to pack operands: DRAM's for what is read, and for what is written L2's where it holds the copy until it is read.
fn packing_ns(execution: &Execution, device: &DeviceDescription, assumptions: &Assumptions) -> f64 {
    let half = execution.packed_bytes as f64 / 2.0;
    let memory = device.memory_bytes_per_s.as_ref().map(|b| b.value * assumptions.memory_share);
    let l2 =
        device.l2_bytes_per_s.as_ref().filter(|_| device.l2_bytes.as_ref().is_some_and(|l2| half < l2.value as f64));
    let each = |rate: Option<f64>| rate.map_or(0.0, |bytes_per_s| half / bytes_per_s * 1e9);
    each(memory) + each(l2.map(|b| b.value).or(memory))
}

/// Warp instructions that a multiprocessor can issue in a clock, one for each scheduler.
const ISSUE_PER_CLOCK: f64 = 4.0;

/// Warp instructions for a copy of 512 bytes into shared memory beyond those of 16-byte copies, by the width of a lane's copy.
///
/// Counted on the emulated device for `04_mma`, 128x256 tiles: `gemmscope profile 256 512 512` against `256 512 256`, per k step,
/// with rows aligned to 16, 8, 4 and 2 bytes. Tiles of 128x128 and 64x64 lie within 40 % of these.
fn copy_instructions(load_bytes: u64) -> f64 {
    match load_bytes {
        16.. => 0.0,
        8..16 => 3.5,
        4..8 => 10.5,
        _ => 41.2,
    }
}

/// FLOP per nanosecond of one multiprocessor.
struct Rate {
    peak: f64,
    reached: f64,
}

impl Rate {
    fn of(problem: &Problem, execution: &Execution, device: &DeviceDescription, sustained: &Sustained) -> Self {
        let clock_ghz = device.clock_mhz.value / 1e3;
        let tensor = device.rates.tensor(problem.dtype);
        let unit = match execution.unit.as_str() {
            "simt" if execution.streams => device.rates.f32,
            "simt" => device.rates.f32 * operand_share(execution),
            _ => tensor,
        };
        let peak = if tensor > 0.0 { tensor } else { device.rates.f32 };
        let unit = if unit > 0.0 { unit } else { peak };
        Rate { peak: peak * clock_ghz, reached: (unit * sustained.share).min(peak) * clock_ghz }
    }
}

fn sustained_on(execution: &Execution, device: &DeviceDescription) -> Sustained {
    let unit = if execution.unit == "textbook" { "library" } else { &execution.unit };
    sustained(unit, device.compute_capability)
}

/// What share of the FP32 units a SIMT kernel can feed: with r results a thread in a square, a multiply-add needs 2/√r operands,
/// and a multiprocessor can load 32 in the clock in which it can multiply 128.
fn operand_share(execution: &Execution) -> f64 {
    let results = (execution.tile[0] * execution.tile[1]) as f64 / f64::from(execution.threads.max(1));
    (results.sqrt() / 2.0 / 4.0).min(1.0)
}

/// A stretch of the run in which the same number of multiprocessors is busy.
struct Phase {
    /// Items that are computed in it.
    items: f64,
    /// Of these, items on the busiest multiprocessor.
    on_busiest: f64,
    /// Its length, in the time of one item at full speed.
    rounds: f64,
}

/// The full waves and the tail after them.
fn phases(
    execution: &Execution,
    device: &DeviceDescription,
    waves: &Waves,
    ctas: u32,
    assumptions: &Assumptions,
) -> Vec<Phase> {
    let ctas = f64::from(ctas.max(1));
    let usable = usable_sms(execution, device) as f64;
    let warps = f64::from(execution.threads.div_ceil(32).max(1));
    // How fast a multiprocessor works with so many CTAs.
    let speed = |resident: f64| (resident * warps / f64::from(assumptions.busy_warps)).min(1.0);
    if execution.order == Order::StreamK {
        let sharing = if execution.stream_ctas == 0 { usable * ctas } else { execution.stream_ctas as f64 };
        let busy = usable.min(sharing);
        let share = waves.items as f64 / busy;
        let rounds = share * speed(ctas) / speed((sharing / busy).min(ctas));
        return vec![Phase { items: waves.items as f64, on_busiest: share, rounds }];
    }
    let mut phases = Vec::new();
    if waves.full > 0 {
        let rounds = waves.full as f64 * ctas;
        phases.push(Phase { items: (waves.full * waves.slots) as f64, on_busiest: rounds, rounds });
    }
    if waves.tail > 0 {
        // The last CTAs spread over the multiprocessors; fewer on each run faster, but not faster than their warps can.
        let resident = (waves.tail as f64 / usable).ceil();
        let rounds = resident * speed(ctas) / speed(resident);
        phases.push(Phase { items: waves.tail as f64, on_busiest: resident, rounds });
    }
    phases
}

/// Bytes that one item fetches through L2, in whole sectors of 32 bytes.
///
/// A row's segment of s bytes that begins at a multiple of g bytes touches s/32 + 1 - g/32 sectors on average.
fn fetched_bytes(problem: &Problem, execution: &Execution) -> f64 {
    let [tile_m, tile_n, _] = execution.tile;
    let depth = execution.slice_k(problem);
    let step = execution.tile[2].min(depth.max(1));
    let operand = |which: Operand, outer: u64, transposed: bool| -> f64 {
        // How much of a row one k step of the tile takes, and how many such segments there are.
        let k_is_along = (which == Operand::A) != transposed;
        let (along, segments) = if k_is_along { (step, outer * depth.div_ceil(step)) } else { (outer, depth) };
        let bytes = (along * problem.dtype.bytes()) as f64;
        let aligned = problem.align_bytes(which).min(32) as f64;
        segments as f64 * (bytes / 32.0).max(1.0).mul_add(32.0, 32.0 - aligned)
    };
    let a = operand(Operand::A, tile_m, problem.layout.transposes(Operand::A));
    let b = operand(Operand::B, tile_n, problem.layout.transposes(Operand::B));
    let [shared_a, shared_b] = execution.multicast.map(|ctas| f64::from(ctas.max(1)));
    a / shared_a + b / shared_b
}

/// Bytes that a multiprocessor's shared memory gives or takes in a clock: 32 banks of 4 bytes, on every generation of the descriptions.
const SHARED_BYTES_PER_CLOCK: f64 = 128.0;

/// Bytes that one item moves through the banks of shared memory in its main loop.
///
/// A warp of `mma.sync` reads its rows of A and its columns of B for itself, so that the fewer warps share a tile in one direction, the
/// less is read twice; and copies are written there by instructions. Warps are taken to divide the tile in the way that reads least.
/// `wgmma` reads A once, and B once for every 64 rows of the tile; what TMA writes went beside it in all published measurements.
/// What is not public of a library, and the FP32 units' own limit (the rate counts it), are left out.
fn shared_bytes(problem: &Problem, execution: &Execution) -> f64 {
    let [m, n, _] = execution.tile;
    let elements = match execution.unit.as_str() {
        "mma.sync" | "wmma" => {
            let warps = u64::from(execution.threads.div_ceil(32).max(1));
            let read = |along_m: u64| m * (warps / along_m) + n * along_m;
            let ways = (1..=warps).filter(|along_m| warps.is_multiple_of(*along_m));
            ways.map(read).min().unwrap_or(m + n) + m + n
        }
        "wgmma" => m + n * m.div_ceil(64),
        _ => 0,
    };
    (elements * execution.slice_k(problem) * problem.dtype.bytes()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{catalog, cpu_kernel};
    use crate::model::{Basis, devices};
    use proptest::prelude::*;

    fn device(name: &str) -> &'static DeviceDescription {
        DeviceDescription::named(name).unwrap()
    }

    fn textbook(m: u64, n: u64, k: u64, name: &str) -> Prediction {
        predict_execution(&Problem::new(m, n, k), &Execution::textbook(256, 128), device(name))
    }

    #[test]
    fn nv_12_doubles_the_time() {
        let (full, spilled) = (textbook(2816, 1536, 4096, "h100"), textbook(2816, 1544, 4096, "h100"));
        assert_eq!(full.budget.ns(Cause::WaveTail), 0.0);
        let ratio = spilled.total_ns() / full.total_ns();
        assert!((1.7..=2.0).contains(&ratio), "{ratio}");
        assert_eq!(spilled.budget.worst().cause, Cause::WaveTail);
        // Stream-K has no such step.
        let stream = Execution { order: Order::StreamK, ..Execution::textbook(256, 128) };
        let streamed = |n| predict_execution(&Problem::new(2816, n, 4096), &stream, device("h100")).total_ns();
        assert!(streamed(1544) / streamed(1536) < 1.1);
    }

    #[test]
    fn nv_11_steps_with_each_column_of_tiles_once_memory_allows() {
        let a100 = |n| textbook(27648, n, 4096, "a100");
        assert!((a100(256).total_ns() / a100(136).total_ns() - 1.0).abs() < 0.01);
        assert!(a100(136).total_ns() / a100(128).total_ns() > 1.6);
        // On an H100 the first columns are read faster than DRAM can give A, which hides their steps; later ones show.
        let h100 = |n| textbook(33792, n, 4096, "h100");
        assert_eq!(h100(128).limit, Limit::Memory);
        assert!((h100(640).total_ns() / h100(520).total_ns() - 1.0).abs() < 0.01);
        assert!(h100(520).total_ns() / h100(512).total_ns() > 1.2);
    }

    #[test]
    fn fk_04_is_a_cliff_without_any_change_of_alignment() {
        let ratio = textbook(2049, 2049, 2049, "h100").total_ns() / textbook(2047, 2047, 2047, "h100").total_ns();
        assert!(ratio >= 1.4, "{ratio}");
    }

    #[test]
    fn parts_have_the_sizes_of_their_causes() {
        // One row too many for a tile, one k step too many, one tile too many for a wave.
        let exact = textbook(256 * 11, 128 * 12, 4096, "h100");
        for cause in [Cause::KTail, Cause::TileTail, Cause::WaveTail, Cause::Alignment, Cause::Reduction] {
            assert_eq!(exact.budget.ns(cause), 0.0, "{cause:?}");
        }
        let h100 = device("h100");
        let peak_ns = exact.flop as f64 / h100.peak_flop_per_s(Problem::new(1, 1, 1).dtype) * 1e9;
        assert!((exact.budget.ns(Cause::Useful) / peak_ns - 1.0).abs() < 1e-6);
        assert!(
            (exact.budget.ns(Cause::Useful) / (exact.budget.ns(Cause::Useful) + exact.budget.ns(Cause::Kernel))
                - 0.803)
                .abs()
                < 1e-3
        );
        let k_tail = textbook(256 * 11, 128 * 12, 4096 + 1, "h100");
        assert!((k_tail.k_efficiency - 4097.0 / 4128.0).abs() < 1e-12);
        assert!(k_tail.budget.ns(Cause::KTail) > 0.0 && k_tail.budget.ns(Cause::TileTail) == 0.0);
        let tile_tail = textbook(256 * 11 - 255, 128 * 12, 4096, "h100");
        assert!(tile_tail.budget.ns(Cause::TileTail) > 0.0 && tile_tail.budget.ns(Cause::KTail) == 0.0);
    }

    #[test]
    fn a_vector_waits_for_memory() {
        let p = predict_execution(&Problem::new(1, 8192, 8192), &Execution::textbook(64, 64), device("h100"));
        assert_eq!(p.limit, Limit::Memory);
        let memory_ns = p.memory_bytes as f64 / (3350.0 * 0.9);
        assert!(p.total_ns() >= memory_ns);
    }

    #[test]
    fn narrower_paths_of_one_tile_cost_more() {
        let kernel = catalog().kernels.iter().find(|k| k.name == "04_mma").unwrap();
        let time = |tile: &str, align: u64| {
            let name = format!("{tile}-a{align}");
            let v = kernel.variants.iter().find(|v| v.name == name).unwrap();
            predict(&Problem::new(4096, 4096, 4096), kernel, v, device("a100")).budget
        };
        for tile in ["128x256x32", "128x128x32", "64x64x32"] {
            let classes = [16, 8, 4, 2].map(|align| time(tile, align).total_ns());
            assert!(classes.windows(2).all(|w| w[0] < w[1]), "{tile}: {classes:?}");
            assert_eq!(time(tile, 16).ns(Cause::Alignment), 0.0);
        }
        // Smaller tiles copy more bytes for a product, so that a narrow path costs them more (DR-03).
        let penalty = |tile| time(tile, 2).total_ns() / time(tile, 16).total_ns();
        assert!(penalty("128x256x32") < penalty("64x64x32"));
    }

    #[test]
    fn small_tiles_wait_for_shared_memory_where_large_ones_do_not() {
        // 64x64x32 in four warps on an A100: 16 KiB are read and 8 KiB written in the 128 clocks of its products, 192 clocks of the banks.
        // 128x128x32: 32 and 16 KiB in 512 clocks.
        let of = |tile: u64| Execution { unit: "mma.sync".to_owned(), threads: 128, ..Execution::textbook(tile, tile) };
        let problem = Problem::new(4096, 4096, 4096);
        let bytes_of_step = |tile: u64| shared_bytes(&Problem { k: 32, ..problem }, &of(tile));
        assert_eq!((bytes_of_step(64), bytes_of_step(128)), (24.0 * 1024.0, 48.0 * 1024.0));
        let time = |tile: u64| predict_execution(&problem, &of(tile), device("a100"));
        assert_eq!((time(64).limit, time(128).limit), (Limit::SharedMemory, Limit::Multipliers));
        assert!(time(64).total_ns() > 1.05 * time(128).total_ns());
        // m64n256k16: 2 KiB of A and 8 KiB of B in 128 clocks; m64n64k16: 2 and 2 KiB in 32, all that there are.
        let wgmma = |n: u64| Execution { unit: "wgmma".to_owned(), ..Execution::textbook(64, n) };
        let clocks = |n: u64| shared_bytes(&Problem { k: 32, ..problem }, &wgmma(n)) / SHARED_BYTES_PER_CLOCK / 2.0;
        assert_eq!((clocks(256), clocks(64)), (80.0, 32.0));
    }

    #[test]
    fn a_cluster_waits_once_a_launch_and_shares_what_its_boxes_say() {
        let persistent = catalog().kernels.iter().find(|k| k.name == "07_persistent").unwrap();
        let of = |name: &str| {
            let variant = persistent.variants.iter().find(|v| v.name == name).unwrap();
            Execution::of(persistent, variant)
        };
        assert_eq!(of("128x256x64-c2m").multicast, [1, 2]);
        assert_eq!(of("128x128x64-c2n").multicast, [2, 1]);
        assert_eq!(of("128x256x64").multicast, [1, 1]);
        let small = Problem::new(2048, 2048, 512);
        let time = |e: &Execution| predict_execution(&small, e, device("h100"));
        let alone = Execution { cluster: 1, ..of("128x256x64-c2m") };
        let waits = time(&of("128x256x64-c2m")).budget.ns(Cause::Ends) - time(&alone).budget.ns(Cause::Ends);
        assert_eq!(waits, Assumptions::default().cluster_ns);
    }

    #[test]
    fn columns_that_lie_apart_cost_a_sector_each() {
        let together = Execution::textbook(128, 128);
        let apart = Execution { classes: [1, 8], ..together.clone() };
        let p = Problem::new(8192, 8192, 64);
        let l2 = |e: &Execution| predict_execution(&p, e, device("h100")).l2_bytes;
        assert_eq!(l2(&apart) - l2(&together), 7 * 2 * 8192 * 8192);
    }

    #[test]
    fn split_k_fills_an_empty_machine_and_pays_for_its_sum() {
        let problem = Problem::new(128, 256, 65536);
        let one = predict_execution(&problem, &Execution::textbook(128, 256), device("h100"));
        let split = Execution { split_k: 64, ..Execution::textbook(128, 256) };
        let many = predict_execution(&problem, &split, device("h100"));
        assert!(many.total_ns() < one.total_ns() / 4.0);
        assert!(many.budget.ns(Cause::Reduction) > 0.0 && one.budget.ns(Cause::Reduction) == 0.0);
    }

    #[test]
    fn no_depth_still_costs_a_launch_and_a_store() {
        let p = textbook(512, 512, 0, "h100");
        assert_eq!(p.budget.ns(Cause::Useful), 0.0);
        assert_eq!(p.budget.ns(Cause::Launch), 2000.0);
        assert!(p.budget.ns(Cause::Ends) > 0.0 && p.tflops() == 0.0);
    }

    #[test]
    fn a_cpu_has_useful_work_and_nothing_that_is_unknown() {
        let cpu = DeviceDescription::of_figures("CPU", 0, 2, 3000.0, 128.0);
        let p = predict(&Problem::new(100, 200, 300), cpu_kernel(), &cpu_kernel().variants[0], &cpu);
        let ideal = 2.0 * 100.0 * 200.0 * 300.0 / (128.0 * 3.0);
        assert!((p.total_ns() - ideal).abs() < 0.002);
        assert_eq!((p.roofline, p.sustained.basis), (None, Basis::Peak));
    }

    /// Any device, kernel and variant of the program, and the textbook's tiles.
    fn executions() -> impl Strategy<Value = (usize, Execution)> {
        let of_catalog: Vec<Execution> =
            catalog().kernels.iter().flat_map(|k| k.variants.iter().map(|v| Execution::of(k, v))).collect();
        let known = prop::sample::select(of_catalog);
        let free = (1u64..5, 1u64..5, 1u64..9, 1u32..5, prop::sample::select(vec![2u64, 4, 8, 16])).prop_map(
            |(m, n, split_k, cluster, load_bytes)| Execution {
                split_k,
                cluster,
                load_bytes: [load_bytes, 16],
                ..Execution::textbook(64 * m, 64 * n)
            },
        );
        let order = prop::sample::select(vec![Order::OnePerTile, Order::Persistent, Order::StreamK]);
        (0..devices().len(), prop_oneof![known, free], order).prop_map(|(d, e, order)| (d, Execution { order, ..e }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_parts_add_up_to_the_predicted_time(
            (d, execution) in executions(), m in 1u64..70000, n in 1u64..70000, k in 0u64..70000, pad in 0u64..9,
        ) {
            let mut problem = Problem::new(m, n, k);
            problem.lda += pad;
            let p = predict_execution(&problem, &execution, &devices()[d]);
            let sum: u64 = p.budget.parts().iter().map(|part| part.time_ps).sum();
            prop_assert_eq!(sum, p.budget.total_ps());
            prop_assert!(p.total_ns().is_finite() && p.total_ns() > 0.0);
            // Nothing is faster than the peak, nor than DRAM.
            let peak_ns = p.flop as f64 / devices()[d].peak_flop_per_s(problem.dtype) * 1e9;
            prop_assert!(p.total_ns() >= peak_ns * (1.0 - 1e-9));
            prop_assert!(p.total_ns() >= p.memory_bytes as f64 / devices()[d].memory_bytes_per_s.as_ref().unwrap().value * 1e9);
        }

        #[test]
        fn a_larger_problem_of_the_same_kernel_never_takes_less(
            (d, execution) in executions(), m in 1u64..9000, n in 1u64..9000, k in 1u64..9000, more in 0u64..300, which in 0..3,
        ) {
            // The leading dimensions stay, so that only the size changes: FK-05's signature of tiles and waves.
            let small = Problem { lda: k + 300, ldb: n + 300, ldc: n + 300, ..Problem::new(m, n, k) };
            let mut large = small;
            match which { 0 => large.m += more, 1 => large.n += more, _ => large.k += more }
            let time = |p: &Problem| predict_execution(p, &execution, &devices()[d]).total_ns();
            prop_assert!(time(&large) >= time(&small) - 0.002, "{} < {}", time(&large), time(&small));
        }
    }
}
