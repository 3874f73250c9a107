// The launch ABI of the pack kernels.
#pragma once

// Copies a matrix of `rows` x `cols` elements, as stored, with any base and leading dimension, to one whose base is a multiple of
// 16 bytes and whose leading dimension, too. Leading dimensions are in elements.
struct PackParams {
    const void* from;
    void* to;
    long long ld_from;
    long long ld_to;
    unsigned rows;
    unsigned cols;
};

static_assert(sizeof(PackParams) == 40, "the host builds this struct byte by byte: no implicit padding");
