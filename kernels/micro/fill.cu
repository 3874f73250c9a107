// Fills a matrix with values drawn from a table by a counter-based generator, so that any element can be recomputed alone.
//
// Element (r, c) is table[u], u the 16-bit lane c % 8 of Philox4x32-10 with counter (c / 8, r, operand, 0) and the seed as
// key; output word w gives lanes 2w (low half) and 2w + 1 (high half). What the table holds (uniform values, small
// integers, ...) is the host's business, and so is what its 8, 16 or 32 bits mean. Row padding is not written. Grid-stride: any
// grid and block will do.
template <class Element>
struct FillParams {
    Element* dst;
    long long ld;
    const Element* table;  // 65536 entries
    unsigned rows;
    unsigned cols;
    unsigned long long seed;
    unsigned operand;
    unsigned reserved;
};
static_assert(sizeof(FillParams<unsigned>) == 48, "the host builds this struct byte by byte: no implicit padding");

__device__ __forceinline__ uint4 philox4x32_10(uint4 counter, uint2 key) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned high0 = __umulhi(0xD2511F53u, counter.x), low0 = 0xD2511F53u * counter.x;
        const unsigned high1 = __umulhi(0xCD9E8D57u, counter.z), low1 = 0xCD9E8D57u * counter.z;
        counter = {high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0};
        key.x += 0x9E3779B9u;
        key.y += 0xBB67AE85u;
    }
    return counter;
}

template <class Element>
__device__ __forceinline__ void fill(const FillParams<Element>& p) {
    constexpr unsigned kBytes = sizeof(Element);
    const unsigned groups = p.cols / 8 + (p.cols % 8 != 0);
    const unsigned long long total = static_cast<unsigned long long>(p.rows) * groups;
    const unsigned long long stride = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
    const uint2 key = {static_cast<unsigned>(p.seed), static_cast<unsigned>(p.seed >> 32)};
    for (unsigned long long i = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
         i += stride) {
        const auto row = static_cast<unsigned>(i / groups);
        const auto group = static_cast<unsigned>(i % groups);
        const uint4 random = philox4x32_10({group, row, p.operand, 0}, key);
        const unsigned words[4] = {random.x, random.y, random.z, random.w};
        Element* to = p.dst + row * p.ld + group * 8ll;
        const unsigned left = p.cols - group * 8;
        Element values[8];
#pragma unroll
        for (unsigned e = 0; e < 8; ++e) {
            values[e] = p.table[words[e / 2] >> (e % 2 * 16) & 0xffff];
        }
        if (left >= 8 && reinterpret_cast<unsigned long long>(to) % 16 == 0) {
            // The eight in words of four bytes, stored 8 or 16 bytes at a time.
            unsigned packed[2 * kBytes] = {};
#pragma unroll
            for (unsigned e = 0; e < 8; ++e) {
                packed[e * kBytes / 4] |= static_cast<unsigned>(values[e]) << (e * kBytes % 4 * 8);
            }
            if constexpr (kBytes == 1) {
                *reinterpret_cast<uint2*>(to) = {packed[0], packed[1]};
            } else {
#pragma unroll
                for (unsigned w = 0; w < 2 * kBytes; w += 4) {
                    reinterpret_cast<uint4*>(to)[w / 4] = {packed[w], packed[w + 1], packed[w + 2], packed[w + 3]};
                }
            }
        } else {
#pragma unroll
            for (unsigned e = 0; e < 8; ++e) {
                if (e < left) {
                    to[e] = values[e];
                }
            }
        }
    }
}

#define FILL(bits, Element)                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                       \
        fill_from_table_##bits(const __grid_constant__ FillParams<Element> p) {                             \
        fill(p);                                                                                            \
    }

FILL(8, unsigned char)
FILL(16, unsigned short)
FILL(32, unsigned)
