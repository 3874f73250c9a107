// Checks a GEMM's result on the device: values against an FP64 reference, and everything around them against poison.
#include "params.cuh"
#include "types.cuh"

struct VerifyReport {
    unsigned long long checked;
    unsigned long long bad;
    unsigned long long first_bad;   // smallest row * n + col of a bad element; the host starts it at ~0
    unsigned long long worst_bits;  // largest |c - ref| / bound, as the bits of a double
};

template <class Type>
struct VerifyParams {
    GemmParamsT<typename Type::In, typename Type::Out> g;
    const typename Type::Out* c_before;  // C before the run, needed where beta != 0
    long long ld_before;
    const unsigned* rows;  // the rows to check
    unsigned row_count;
    unsigned transposed;  // bit 0: A is stored k x m; bit 1: B is stored n x k
    double u_out;    // relative rounding error of the output format
    double eps_sum;  // error of the accumulation relative to the sum of magnitudes
    double tiny;     // absolute error where results are subnormal
    VerifyReport* report;
};
static_assert(sizeof(VerifyReport) == 32, "the host reads this struct byte by byte: no implicit padding");
static_assert(sizeof(VerifyParams<TypeF16>) == 136, "the host builds this struct byte by byte: no implicit padding");

// The host compiler's <cmath> would bring its own isnan and isinf into the PTX, and the PTX would differ with its version.
__device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }
__device__ __forceinline__ bool is_nan(double x) { return x != x; }
__device__ __forceinline__ bool is_infinite(double x) { return fabs(x) == infinity(); }
__device__ __forceinline__ bool is_finite(double x) { return fabs(x) < infinity(); }

// The value of an element of A or B as the multiplier sees it, and of C.
__device__ __forceinline__ double value(__half x) { return __half2float(x); }
__device__ __forceinline__ double value(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ double value(float x) { return x; }
__device__ __forceinline__ double value(int x) { return x; }

// |x| from here on rounds to infinity: half a step above the largest finite value. Integers saturate, which no sum within
// their range does.
template <class Out> __device__ __forceinline__ double overflow();
template <> __device__ __forceinline__ double overflow<__half>() { return 65520.0; }
template <> __device__ __forceinline__ double overflow<__nv_bfloat16>() { return __longlong_as_double(0x47eff00000000000ll); }
template <> __device__ __forceinline__ double overflow<float>() { return __longlong_as_double(0x47effffff0000000ll); }
template <> __device__ __forceinline__ double overflow<int>() { return infinity(); }

// How far c is off, in units of the bound; at most 1 is right. NaN and infinities are right or infinitely wrong.
__device__ __forceinline__ double error_in_bounds(double c, double ref, double bound, double overflow) {
    const double wrong = infinity();
    if (is_nan(ref)) {
        return is_nan(c) ? 0.0 : wrong;
    }
    if (is_infinite(c)) {
        // Right where some value within the bound of the reference rounds to this infinity.
        const double reach = c > 0.0 ? ref : -ref;
        return reach + (is_infinite(ref) ? 0.0 : bound) >= overflow ? 0.0 : wrong;
    }
    const double off = fabs(c - ref);
    if (off == 0.0) {
        return 0.0;
    }
    // An infinite or NaN reference has an infinite bound, which a finite c must not pass.
    return is_finite(off) && is_finite(bound) ? off / bound : wrong;
}

template <class Type>
__device__ __forceinline__ void verify_rows(const VerifyParams<Type>& p) {
    __shared__ unsigned long long checked, bad, first_bad, worst_bits;
    if (threadIdx.x == 0) {
        checked = 0;
        bad = 0;
        first_bad = ~0ull;
        worst_bits = 0;
    }
    __syncthreads();

    const auto& g = p.g;
    const bool trans_a = p.transposed & 1, trans_b = p.transposed & 2;
    const long long step_a = trans_a ? g.lda : 1;
    const long long step_b = trans_b ? 1 : g.ldb;
    const unsigned long long total = static_cast<unsigned long long>(p.row_count) * g.n;
    const unsigned long long stride = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
    unsigned long long my_checked = 0, my_bad = 0, my_first_bad = ~0ull;
    double my_worst = 0.0;
    // Neighbouring threads take neighbouring columns of one row.
    for (unsigned long long i = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
         i += stride) {
        const unsigned row = p.rows[i / g.n];
        const auto col = static_cast<unsigned>(i % g.n);
        const auto* a = g.a + (trans_a ? row : row * g.lda);
        const auto* b = g.b + (trans_b ? col * g.ldb : col);
        double sum = 0.0, magnitude = 0.0;
        for (unsigned k = 0; k < g.k; ++k) {
            // Exact: two significands of at most 11 bits, and exponents of at most FP32's range.
            const double product = static_cast<double>(Type::load(*a)) * static_cast<double>(Type::load(*b));
            sum += product;
            magnitude += fabs(product);
            a += step_a;
            b += step_b;
        }
        double ref = g.alpha * sum;
        magnitude *= fabs(static_cast<double>(g.alpha));
        if (g.beta != 0.0f) {
            const double old = static_cast<double>(g.beta) * value(p.c_before[row * p.ld_before + col]);
            ref += old;
            magnitude += fabs(old);
        }
        const double bound = p.u_out * fabs(ref) + p.eps_sum * magnitude + p.tiny;
        const double error = error_in_bounds(value(g.c[row * g.ldc + col]), ref, bound, overflow<typename Type::Out>());
        my_checked += 1;
        my_worst = fmax(my_worst, error);
        if (!(error <= 1.0)) {
            my_bad += 1;
            my_first_bad = min(my_first_bad, static_cast<unsigned long long>(row) * g.n + col);
        }
    }

    // One atomic a CTA reaches global memory. Bits of doubles that are not negative compare like the doubles.
    atomicAdd(&checked, my_checked);
    atomicMax(&worst_bits, static_cast<unsigned long long>(__double_as_longlong(my_worst)));
    if (my_bad != 0) {
        atomicAdd(&bad, my_bad);
        atomicMin(&first_bad, my_first_bad);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(&p.report->checked, checked);
        atomicMax(&p.report->worst_bits, worst_bits);
        if (bad != 0) {
            atomicAdd(&p.report->bad, bad);
            atomicMin(&p.report->first_bad, first_bad);
        }
    }
}

#define VERIFY_ROWS(name, Type)                                                                             \
    extern "C" __global__ void __launch_bounds__(256)                                                       \
        verify_rows_##name(const __grid_constant__ VerifyParams<Type> p) {                                  \
        verify_rows<Type>(p);                                                                               \
    }

VERIFY_ROWS(f16, TypeF16)
VERIFY_ROWS(bf16, TypeBf16)
VERIFY_ROWS(tf32, TypeTf32)
VERIFY_ROWS(i8, TypeI8)
VERIFY_ROWS(e4m3, TypeE4m3)

struct ScanReport {
    unsigned long long interior_poison;  // elements of C that still hold the poison pattern
    unsigned long long interior_nan;     // elements of C that are NaN, whether poison or not
    unsigned long long padding_touched;  // padding and guard elements that do not hold it any more
    unsigned long long first_touched;    // the first of those, counted from the front guard; the host starts it at ~0
};

template <class Bits>
struct ScanParams {
    const Bits* c;
    long long ldc;
    unsigned m;
    unsigned n;
    unsigned long long guard_before;  // elements in front of c
    unsigned long long guard_after;   // elements after the last element of the last row
    unsigned poison;
    unsigned reserved;
    ScanReport* report;
};
static_assert(sizeof(ScanReport) == 32, "the host reads this struct byte by byte: no implicit padding");
static_assert(sizeof(ScanParams<unsigned>) == 56, "the host builds this struct byte by byte: no implicit padding");

// Expects C, its row padding and both guards to have been filled with the pattern `poison` before the run. kInfinity is the
// pattern of the positive infinity, above which all patterns are NaN when their sign is left out; 0 where there are no NaNs.
template <class Bits, unsigned kInfinity>
__device__ __forceinline__ void scan_poison(const ScanParams<Bits>& p) {
    constexpr unsigned kMagnitude = sizeof(Bits) == 2 ? 0x7fffu : 0x7fffffffu;
    __shared__ unsigned long long interior_poison, interior_nan, padding_touched, first_touched;
    if (threadIdx.x == 0) {
        interior_poison = 0;
        interior_nan = 0;
        padding_touched = 0;
        first_touched = ~0ull;
    }
    __syncthreads();

    const unsigned long long body = (p.m - 1ull) * p.ldc + p.n;
    const unsigned long long total = p.guard_before + body + p.guard_after;
    const unsigned long long stride = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
    const Bits* first = p.c - p.guard_before;
    unsigned long long my_poison = 0, my_nan = 0, my_touched = 0, my_first_touched = ~0ull;
    for (unsigned long long i = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
         i += stride) {
        const unsigned value = first[i];
        const unsigned long long at = i - p.guard_before;
        const bool interior = i >= p.guard_before && at < body && at % p.ldc < p.n;
        if (interior) {
            my_poison += value == p.poison;
            my_nan += kInfinity != 0 && (value & kMagnitude) > kInfinity;
        } else if (value != p.poison) {
            my_touched += 1;
            my_first_touched = min(my_first_touched, i);
        }
    }

    atomicAdd(&interior_poison, my_poison);
    atomicAdd(&interior_nan, my_nan);
    if (my_touched != 0) {
        atomicAdd(&padding_touched, my_touched);
        atomicMin(&first_touched, my_first_touched);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(&p.report->interior_poison, interior_poison);
        atomicAdd(&p.report->interior_nan, interior_nan);
        if (padding_touched != 0) {
            atomicAdd(&p.report->padding_touched, padding_touched);
            atomicMin(&p.report->first_touched, first_touched);
        }
    }
}

#define SCAN_POISON(name, Bits, infinity)                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                                       \
        scan_poison_##name(const __grid_constant__ ScanParams<Bits> p) {                                    \
        scan_poison<Bits, infinity>(p);                                                                     \
    }

SCAN_POISON(f16, unsigned short, 0x7c00u)
SCAN_POISON(bf16, unsigned short, 0x7f80u)
SCAN_POISON(f32, unsigned, 0x7f800000u)
SCAN_POISON(i32, unsigned, 0u)
