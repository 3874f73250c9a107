// Clocks: pairs of (wall time, SM cycles) to derive the SM clock from, and a kernel that holds a stream until released.
#include "ptx/special.cuh"

struct alignas(16) ClockStamp {
    unsigned long long globaltimer_ns;
    unsigned long long clock64;
};
static_assert(sizeof(ClockStamp) == 16, "a stamp is one 16-byte store: never half of one pair and half of another");

// Each CTA stamps the slot of the SM it runs on. Where several share an SM, whichever comes last stays: a race, but one
// between whole stamps that are all true. Launch with a few CTAs per SM.
extern "C" __global__ void __launch_bounds__(32) clock_stamp(ClockStamp* out) {
    if (threadIdx.x == 0) {
        const unsigned sm = read_smid();
        const unsigned long long ns = read_globaltimer();
        const unsigned long long ticks = read_clock64();
        reinterpret_cast<ulonglong2*>(out)[sm] = make_ulonglong2(ns, ticks);
    }
}

// Keeps its stream busy until the host sets *flag (mapped host memory), so that work queued behind it starts without
// launch gaps. The timeout keeps a host that died, or waits for this stream, from hanging the device.
extern "C" __global__ void __launch_bounds__(32) spin_until(volatile unsigned* flag, unsigned long long timeout_ns) {
    if (threadIdx.x == 0) {
        const unsigned long long start = read_globaltimer();
        while (*flag == 0 && read_globaltimer() - start < timeout_ns) {
        }
    }
}
