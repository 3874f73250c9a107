//! Every kernel at one size, with the rows of A and B at multiples of 16, 8, 4 and 2 bytes, in device time.
//!
//! On a machine without a GPU the one kernel is the CPU's, and every name says so.

use criterion::{Criterion, SamplingMode, Throughput};
use gemmscope::data::Distribution;
use gemmscope::device::{self, Device, DeviceChoice, Job};
use gemmscope::dispatch::{choose, kernels, select};
use gemmscope::measure::DeviceTime;
use gemmscope::problem::{DType, Problem};
use gemmscope::record::DeviceKind;

/// Elements of padding that leave rows at multiples of this many bytes, where the size is a multiple of 8 elements.
const CLASSES: [(&str, u64); 4] = [("16-bytes", 8), ("8-bytes", 4), ("4-bytes", 2), ("2-bytes", 1)];

fn main() {
    let device = device::open(DeviceChoice::Auto).unwrap_or_else(|error| {
        eprintln!("{error}; measuring on the CPU");
        Box::new(device::cpu::CpuDevice::new())
    });
    // The launches are timed on their own stream by `Prepared::time`; the measurement only formats its values here.
    let mut criterion = Criterion::default().with_measurement(DeviceTime::host()).configure_from_args();
    bench(&mut criterion, device.as_ref());
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion<DeviceTime>, device: &dyn Device) {
    let info = device.info();
    let (size, label) = match info.kind() {
        DeviceKind::Cuda | DeviceKind::Emulated => (4096, "cuda"),
        DeviceKind::Cpu => (512, "CPU"),
    };
    let tables = Distribution::Uniform.tables(DType::F16);
    eprintln!("{}: {size} x {size} x {size}", info.record.name);
    for kernel in kernels(info.kind()) {
        let mut group = criterion.benchmark_group(format!("{label}/{}", kernel.name));
        group.sampling_mode(SamplingMode::Flat).sample_size(20);
        for (class, padding) in CLASSES {
            let mut problem = Problem::new(size, size, size);
            (problem.lda, problem.ldb) = (size + padding, size + padding);
            let selector = &select(&kernel.name, info.kind()).expect("it is in the catalogue")[0];
            let choice = match choose(&problem, selector, info) {
                Ok(choice) => choice,
                Err(why) => {
                    eprintln!("{}/{class}: {why}", kernel.name);
                    continue;
                }
            };
            let rotate_bytes = if info.kind() == DeviceKind::Cuda { info.cold_bytes() } else { 0 };
            let job =
                Job { problem: &problem, kernel, variant: choice.variant, tables: &tables, seed: 1, rotate_bytes };
            let mut prepared = match device.prepare(&job) {
                Ok(prepared) => prepared,
                Err(why) => {
                    eprintln!("{}/{class}: {why}", kernel.name);
                    continue;
                }
            };
            group.throughput(Throughput::Elements(problem.flop()));
            group.bench_function(format!("{class}/{}", choice.variant.name), |b| {
                b.iter_custom(|iterations| {
                    let mut ns = 0.0;
                    let mut left = iterations;
                    while left > 0 {
                        let launches = left.min(10_000) as u32;
                        ns += prepared.time(launches).expect("the launch succeeds").elapsed_ns as f64;
                        left -= u64::from(launches);
                    }
                    ns
                });
            });
        }
        group.finish();
    }
}
