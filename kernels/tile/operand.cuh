// One operand's tile in shared memory, as TMA writes it and wgmma reads it.
#pragma once

#include "ptx/tma.cuh"
#include "ptx/tensor_map.cuh"

// kExtent rows of A, or columns of B, by 64 of K, fetched in kParts equal parts (one for each CTA of a multicast).
//
// K-major, the operand's rows are contiguous along K: rows of 128 bytes under the 128-byte swizzle.
// MN-major, contiguous along M or N: runs of up to 64 elements by 64 rows of K, one run after another, each under the
// swizzle of its width. wgmma multiplies both as they are, so that no layout needs a transposing pass.
template <unsigned kExtent_, bool kMnMajor_, unsigned kParts_ = 1>
struct OperandTile {
    static constexpr unsigned kExtent = kExtent_;
    static constexpr bool kMnMajor = kMnMajor_;
    static constexpr unsigned kParts = kParts_;
    static constexpr unsigned kK = 64;
    static constexpr unsigned kBytes = kExtent * kK * 2;
    static constexpr unsigned kPart = kExtent / kParts;
    static constexpr unsigned kRun = !kMnMajor || kPart % 64 == 0 ? 64 : kPart % 32 == 0 ? 32 : 16;
    static constexpr unsigned kRunBytes = kRun * kK * 2;
    static_assert(kExtent % kParts == 0 && kPart % 16 == 0 && kPart <= 256, "whole boxes");
    static_assert(kBytes % 1024 == 0, "what follows starts at the swizzle's period");

    // What the host encodes: elements of the box, the contiguous dimension first.
    static constexpr unsigned kBoxInner = kMnMajor ? kRun : kK;
    static constexpr unsigned kBoxOuter = kMnMajor ? kK : kPart;

    // Copies one part; `mn` and `k` are the tile's first row or column, and first place along K, in the map.
    template <bool kMulticast>
    __device__ __forceinline__ static void load(unsigned shared, const TensorMap& map, int mn, int k, unsigned part,
                                                unsigned barrier) {
        if constexpr (kMnMajor) {
            constexpr unsigned kRuns = kPart / kRun;
#pragma unroll
            for (unsigned i = 0; i < kRuns; ++i) {
                const unsigned run = part * kRuns + i;
                copy<kMulticast>(shared + run * kRunBytes, map, mn + static_cast<int>(run * kRun), k, barrier);
            }
        } else {
            copy<kMulticast>(shared + part * kPart * 128, map, k, mn + static_cast<int>(part * kPart), barrier);
        }
    }

    // wgmma's descriptor of the 16 of K that start the tile, from row or column `first` on.
    __device__ __forceinline__ static unsigned long long descriptor(unsigned shared, unsigned first) {
        const unsigned start = shared + (kMnMajor ? first / kRun * kRunBytes : first * 128);
        return kConstant | (start & 0x3ffff) >> 4;
    }

    // What to add to it for each further 16 of K.
    static constexpr unsigned kStep = (kMnMajor ? 16 * kRun * 2 : 32) >> 4;

private:
    // Leading offset: from run to run (unused in K-major tiles under a swizzle); stride: from 8 rows, or 8 of K, to the next.
    static constexpr unsigned long long kLeading = kMnMajor ? kRunBytes >> 4 : 1;
    static constexpr unsigned long long kStride = (kMnMajor ? 8 * kRun * 2 : 1024) >> 4;
    static constexpr unsigned long long kSwizzle = kRun == 64 ? 1 : kRun == 32 ? 2 : 3;
    static constexpr unsigned long long kConstant = kLeading << 16 | kStride << 32 | kSwizzle << 62;

    template <bool kMulticast>
    __device__ __forceinline__ static void copy(unsigned shared, const TensorMap& map, int inner, int outer,
                                                unsigned barrier) {
        if constexpr (kMulticast) {
            tma_load_multicast(shared, map, inner, outer, barrier, static_cast<unsigned short>((1u << kParts) - 1));
        } else {
            tma_load(shared, map, inner, outer, barrier);
        }
    }
};
