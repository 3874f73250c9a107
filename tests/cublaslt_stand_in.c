// A cuBLASLt for tests: the functions that gemmscope calls, column-major as the real one's, multiplying FP16 with a kernel
// given as PTX. It writes what it was told into a file, a line a search.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int compute, scale, trans[2]; } Desc;
typedef struct { int type; uint64_t rows, cols; int64_t ld; } Layout;
typedef struct { uint64_t workspace; uint32_t align[4]; } Preference;
typedef struct { uint64_t data[8]; } Algorithm;
typedef struct { Algorithm algorithm; size_t workspace; uint32_t status; float waves; int reserved[4]; } Result;
// GemmParams of kernels/params.cuh.
typedef struct {
    uint64_t a, b, c;
    int64_t lda, ldb, ldc;
    uint32_t m, n, k;
    float alpha, beta;
    uint32_t reserved;
} Params;

enum { OK = 0, INVALID = 7, NOT_SUPPORTED = 15 };

size_t cublasLtGetVersion(void) { return 130002; }
unsigned cublasLtCreate(void **handle) { *handle = malloc(1); return OK; }

unsigned cublasLtMatmulDescCreate(void **desc, int compute, int scale) {
    Desc *d = calloc(1, sizeof *d);
    d->compute = compute;
    d->scale = scale;
    *desc = d;
    return OK;
}
unsigned cublasLtMatmulDescDestroy(void *desc) { free(desc); return OK; }
unsigned cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t bytes) {
    if ((attribute != 3 && attribute != 4) || bytes != sizeof(int)) return INVALID;
    memcpy(&((Desc *)desc)->trans[attribute - 3], value, bytes);
    return OK;
}

unsigned cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    if (ld < (int64_t)rows) return INVALID;
    Layout *l = calloc(1, sizeof *l);
    *l = (Layout){type, rows, cols, ld};
    *layout = l;
    return OK;
}
unsigned cublasLtMatrixLayoutDestroy(void *layout) { free(layout); return OK; }

unsigned cublasLtMatmulPreferenceCreate(void **preference) {
    Preference *p = calloc(1, sizeof *p);
    for (int i = 0; i < 4; ++i) p->align[i] = 256;
    *preference = p;
    return OK;
}
unsigned cublasLtMatmulPreferenceDestroy(void *preference) { free(preference); return OK; }
unsigned cublasLtMatmulPreferenceSetAttribute(void *preference, int attribute, const void *value, size_t bytes) {
    Preference *p = preference;
    if (attribute == 3 && bytes == 4) { return OK; }
    if (attribute == 1 && bytes == 8) { memcpy(&p->workspace, value, 8); return OK; }
    if (attribute >= 5 && attribute <= 8 && bytes == 4) { memcpy(&p->align[attribute - 5], value, 4); return OK; }
    return INVALID;
}

// Rows and columns of an operand after its transposition.
static uint64_t rows(const Layout *l, int trans) { return trans ? l->cols : l->rows; }
static uint64_t cols(const Layout *l, int trans) { return trans ? l->rows : l->cols; }

unsigned cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference,
                                        int asked, Result *results, int *found) {
    const Desc *op = desc;
    const Layout *la = a, *lb = b, *lc = c;
    const Preference *p = preference;
    *found = 0;
    const char *log = getenv("STAND_IN_LOG");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) {
        fprintf(file, "type %d compute %d scale %d trans %d%d workspace %llu align %u %u %u %u\n", la->type, op->compute,
                op->scale, op->trans[0], op->trans[1], (unsigned long long)p->workspace, p->align[0], p->align[1],
                p->align[2], p->align[3]);
        fclose(file);
    }
    if (rows(la, op->trans[0]) != lc->rows || cols(lb, op->trans[1]) != lc->cols ||
        cols(la, op->trans[0]) != rows(lb, op->trans[1]) || c != d || !handle) {
        return INVALID;
    }
    if (la->type != 2 || op->trans[0] || op->trans[1]) return NOT_SUPPORTED;
    // The second asks for more than the first and is slower in no way that an emulated device could tell; the third asks
    // for more workspace than it was offered, and the fourth cannot run.
    for (int i = 0; i < 4 && i < asked; ++i) {
        memset(&results[i], 0, sizeof results[i]);
        results[i].algorithm.data[0] = 60 + i;
        results[i].workspace = i == 2 ? p->workspace + 1 : (size_t)i << 20;
        results[i].status = i == 3 ? NOT_SUPPORTED : OK;
        results[i].waves = 0.5f;
        *found = i + 1;
    }
    return OK;
}

unsigned cublasLtMatmulAlgoConfigGetAttribute(const Algorithm *algorithm, int attribute, void *value, size_t bytes,
                                              size_t *written) {
    // The last two are 16 bits wide in the real library too.
    const size_t size = attribute >= 7 ? 2 : 4;
    if (bytes != size) return INVALID;
    const uint32_t answer = attribute == 0 ? (uint32_t)algorithm->data[0] : (uint32_t)attribute;
    memcpy(value, &answer, size);
    *written = size;
    return OK;
}

// The kernel, loaded into the context that is current.
static void *kernel(void) {
    static void *function;
    if (function) return function;
    FILE *file = fopen(getenv("STAND_IN_PTX"), "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    char *text = calloc(1, (size_t)size + 1);
    if (fread(text, 1, (size_t)size, file) != (size_t)size) return NULL;
    fclose(file);
    unsigned (*load)(void **, const void *) = dlsym(RTLD_DEFAULT, "cuModuleLoadData");
    unsigned (*get)(void **, void *, const char *) = dlsym(RTLD_DEFAULT, "cuModuleGetFunction");
    void *module = NULL;
    if (!load || !get || load(&module, text) || get(&function, module, getenv("STAND_IN_ENTRY"))) return NULL;
    return function;
}

unsigned cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                        void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                        const Algorithm *algorithm, void *workspace, size_t workspace_bytes, void *stream) {
    const Layout *la = a_layout, *lb = b_layout, *lc = c_layout;
    const uint64_t id = algorithm->data[0];
    if (!handle || !desc || c != d || c_layout != d_layout || id < 60 || id > 61 || !workspace ||
        workspace_bytes < (32u << 20)) {
        return INVALID;
    }
    // Column-major D = A * B is row-major transpose(D) = transpose(B) * transpose(A).
    Params params = {(uint64_t)b, (uint64_t)a, (uint64_t)d, lb->ld, la->ld, lc->ld, (uint32_t)lc->cols,
                     (uint32_t)lc->rows, (uint32_t)la->cols, *(const float *)alpha, *(const float *)beta, 0};
    void *arguments[] = {&params};
    unsigned (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
                       void **) = dlsym(RTLD_DEFAULT, "cuLaunchKernel");
    void *function = kernel();
    if (!launch || !function) return INVALID;
    const unsigned tile = (unsigned)atoi(getenv("STAND_IN_TILE"));
    const unsigned ctas = (unsigned)((lc->rows + tile - 1) / tile * ((lc->cols + tile - 1) / tile));
    return launch(function, ctas, 1, 1, (unsigned)atoi(getenv("STAND_IN_THREADS")), 1, 1, 0, stream, arguments, NULL) ? INVALID
                                                                                                                   : OK;
}
