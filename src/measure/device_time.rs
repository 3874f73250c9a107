//! A criterion [`Measurement`] in device time, for anybody's kernels on anybody's stream.
//!
//! ```no_run
//! use criterion::{Criterion, Throughput};
//! use gemmscope::measure::{DeviceTime, cudarc::driver::CudaContext};
//!
//! let stream = CudaContext::new(0).expect("a GPU").new_stream().expect("a stream");
//! let mut criterion = Criterion::default().with_measurement(DeviceTime::on(stream.clone()));
//! let mut group = criterion.benchmark_group("mine");
//! group.throughput(Throughput::Elements(2 * 4096 * 4096 * 4096));
//! group.bench_function("kernel", |b| b.iter(|| { /* enqueue launches on `stream` */ }));
//! ```

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, CudaStream};
use std::sync::Arc;
use std::time::Instant;

/// Time between two events on a stream, or the host's time where the work is on the host. Values are nanoseconds.
#[derive(Debug, Clone)]
pub struct DeviceTime(Source);

#[derive(Debug, Clone)]
enum Source {
    Stream(Arc<CudaStream>),
    Host,
}

/// The beginning of a measurement.
#[derive(Debug)]
pub struct Begun(Start);

#[derive(Debug)]
enum Start {
    Event(CudaEvent),
    Instant(Instant),
}

impl DeviceTime {
    /// Measures what is enqueued on `stream`. The stream must not be capturing.
    pub fn on(stream: Arc<CudaStream>) -> Self {
        DeviceTime(Source::Stream(stream))
    }

    /// Measures on the host's clock.
    pub fn host() -> Self {
        DeviceTime(Source::Host)
    }
}

/// An event with timing, recorded on the stream. Criterion has no way to report an error, so a failing driver ends the bench.
fn event(stream: &Arc<CudaStream>) -> CudaEvent {
    stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).expect("the stream takes events")
}

impl Measurement for DeviceTime {
    type Intermediate = Begun;
    type Value = f64;

    fn start(&self) -> Begun {
        Begun(match &self.0 {
            Source::Stream(stream) => Start::Event(event(stream)),
            Source::Host => Start::Instant(Instant::now()),
        })
    }

    fn end(&self, begun: Begun) -> f64 {
        match (begun.0, &self.0) {
            (Start::Event(start), Source::Stream(stream)) => {
                let end = event(stream);
                f64::from(start.elapsed_ms(&end).expect("the work on the stream succeeds")) * 1e6
            }
            (Start::Instant(start), _) => start.elapsed().as_nanos() as f64,
            (Start::Event(_), Source::Host) => unreachable!("the host begins with an instant"),
        }
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &FlopFormatter
    }
}

/// Prints nanoseconds, and elements as FLOP.
struct FlopFormatter;

/// The largest unit that keeps a value at 1 or above.
fn unit(typical: f64, units: [(f64, &'static str); 4]) -> (f64, &'static str) {
    units.into_iter().rev().find(|(scale, _)| typical >= *scale).unwrap_or(units[0])
}

fn time_unit(ns: f64) -> (f64, &'static str) {
    unit(ns, [(1.0, "ns"), (1e3, "us"), (1e6, "ms"), (1e9, "s")])
}

fn rate_unit(per_second: f64, throughput: &Throughput) -> (f64, &'static str) {
    match throughput {
        Throughput::Elements(_) => {
            unit(per_second, [(1.0, "FLOP/s"), (1e6, "MFLOP/s"), (1e9, "GFLOP/s"), (1e12, "TFLOP/s")])
        }
        _ => unit(per_second, [(1.0, "B/s"), (1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s")]),
    }
}

fn amount(throughput: &Throughput) -> f64 {
    match *throughput {
        Throughput::Elements(n) | Throughput::Bytes(n) | Throughput::BytesDecimal(n) | Throughput::Bits(n) => n as f64,
        Throughput::ElementsAndBytes { elements, .. } => elements as f64,
    }
}

impl ValueFormatter for FlopFormatter {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (scale, name) = time_unit(typical);
        values.iter_mut().for_each(|v| *v /= scale);
        name
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let per_second = |ns: f64| amount(throughput) * 1e9 / ns;
        let (scale, name) = rate_unit(per_second(typical), throughput);
        values.iter_mut().for_each(|v| *v = per_second(*v) / scale);
        name
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flop_over_nanoseconds_is_printed_as_tflop_per_second() {
        let formatter = FlopFormatter;
        let mut values = [1e6, 2e6];
        let flop = Throughput::Elements(1_000_000_000);
        assert_eq!(formatter.scale_throughputs(1e6, &flop, &mut values), "TFLOP/s");
        assert_eq!(values, [1.0, 0.5]);
        let mut values = [2_500.0];
        assert_eq!((formatter.scale_values(2_500.0, &mut values), values[0]), ("us", 2.5));
    }

    #[test]
    fn the_host_clock_measures_what_happens_between() {
        let time = DeviceTime::host();
        let begun = time.start();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(time.end(begun) >= 5e6);
    }
}
