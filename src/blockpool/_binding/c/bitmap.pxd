# core/src/bitmap: bitmap.h and batch.h, which have the contracts.

from libc.stdint cimport uint64_t


cdef extern from "bitmap/bitmap.h" nogil:
    const uint64_t BITMAP_NONE
    const uint64_t BITMAP_MOST

    struct bitmap:
        void *words
        uint64_t bits

    size_t bitmap_bytes(uint64_t bits)
    void bitmap_init(bitmap *self, void *memory, uint64_t bits, bint fresh)
    uint64_t bitmap_claim(bitmap *self)
    uint64_t bitmap_claim_run(bitmap *self, uint64_t n)
    bint bitmap_claim_many(bitmap *self, uint64_t n, uint64_t *out)
    bint bitmap_claim_packed(bitmap *self, uint64_t n, uint64_t *out)
    bint bitmap_release(bitmap *self, uint64_t bit)
    bint bitmap_test(const bitmap *self, uint64_t bit)
    uint64_t bitmap_summary_fault(const bitmap *self)
    uint64_t bitmap_count(const bitmap *self)
    uint64_t bitmap_longest_free(const bitmap *self)


cdef extern from "bitmap/batch.h" nogil:
    enum batch_status:
        BATCH_OK
        BATCH_OUTSIDE
        BATCH_DUPLICATE

    struct batch:
        pass

    size_t batch_bytes(uint64_t most)
    void batch_init(batch *self, void *memory, uint64_t most, uint64_t bits)
    batch_status batch_add(batch *self, uint64_t bit)
    batch_status batch_add_integers(
        batch *self, const void *integers, unsigned width, uint64_t n, uint64_t *refused
    )
    uint64_t batch_missing(const batch *self, const bitmap *bits)
    uint64_t batch_release(batch *self, bitmap *bits)
    uint64_t batch_first(const batch *self)
    uint64_t batch_missing_range(const bitmap *bits, uint64_t first, uint64_t n)
    uint64_t batch_release_range(bitmap *bits, uint64_t first, uint64_t n, uint64_t *left)
