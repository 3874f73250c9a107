// Which output tile a CTA computes: grouped raster order.
#pragma once

struct TileOrigin {
    unsigned row;  // first row of C in the tile
    unsigned col;  // first column of C in the tile
};

__device__ __forceinline__ unsigned ceil_div(unsigned value, unsigned by) {
    return value / by + (value % by != 0);
}

// Bands of kGroup tile rows; inside a band the row index runs fastest. CTAs that are resident together then share
// kGroup tile rows of A and a few tile columns of B, where a plain row-by-row order would stream all of B per tile row.
template <unsigned kGroup, unsigned kTileM, unsigned kTileN>
__device__ __forceinline__ TileOrigin raster_grouped(unsigned index, unsigned m, unsigned n) {
    const unsigned tiles_m = ceil_div(m, kTileM);
    const unsigned tiles_n = ceil_div(n, kTileN);
    static_assert(kTileN >= kGroup, "kGroup * tiles_n fits in 32 bits for every n < 2^31");
    const unsigned band = index / (kGroup * tiles_n);
    const unsigned first = band * kGroup;
    const unsigned height = min(kGroup, tiles_m - first);
    const unsigned within = index - band * (kGroup * tiles_n);
    return {(first + within % height) * kTileM, (within / height) * kTileN};
}

// The same with a height of bands known at run time, in units of anything: `index` of tiles_m x tiles_n.
__device__ __forceinline__ uint2 raster_bands(unsigned index, unsigned tiles_m, unsigned tiles_n, unsigned group) {
    const unsigned band = index / (group * tiles_n);
    const unsigned first = band * group;
    const unsigned height = min(group, tiles_m - first);
    const unsigned within = index - band * (group * tiles_n);
    return {first + within % height, within / height};
}
