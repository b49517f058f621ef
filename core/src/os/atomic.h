/* atomic.h: every atomic access of the library, with its memory order in its name.
 *
 * Nothing else in core/ touches <stdatomic.h>. That gives one place to read which orders are in use, and one place
 * where the exploration harness (core/explore) can stand: built with BLOCKPOOL_EXPLORE, each access first
 * calls explore_access(), where the harness may let another logical thread run, or stop this one forever.
 *
 * `seq` is sequentially consistent, `release` publishes what was written before, `relaxed` promises atomicity alone.
 * A read-modify-write returns the old value.
 */
#ifndef BLOCKPOOL_ATOMIC_H
#define BLOCKPOOL_ATOMIC_H

#ifndef __linux__
#error "blockpool needs Linux: shared pools rest on its open-file-description locks, memfd_create, /proc and futexes"
#endif
#if !defined(__SIZEOF_POINTER__) || __SIZEOF_POINTER__ < 8
#error "blockpool needs a 64-bit machine: sizes and offsets of pools have 64 bits, and one access changes as many"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "blockpool needs a little-endian machine: what reads recordings and pools from outside expects it"
#endif

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t atomic_word;
typedef _Atomic uint32_t atomic_half;
typedef _Atomic uint8_t atomic_byte;

#ifdef BLOCKPOOL_EXPLORE
void explore_access(const volatile void *word);
#else
static inline void explore_access(const volatile void *word) { (void)word; }
#endif

static inline uint64_t load_relaxed(const atomic_word *word) {
    explore_access(word);
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* A flag that may be seen late, and costs the harness no step. */
static inline uint64_t load_flag(const atomic_word *word) { return atomic_load_explicit(word, memory_order_relaxed); }

static inline uint64_t load_seq(const atomic_word *word) {
    explore_access(word);
    return atomic_load_explicit(word, memory_order_seq_cst);
}

static inline void store_relaxed(atomic_word *word, uint64_t value) {
    explore_access(word);
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void store_release(atomic_word *word, uint64_t value) {
    explore_access(word);
    atomic_store_explicit(word, value, memory_order_release);
}

static inline void store_seq(atomic_word *word, uint64_t value) {
    explore_access(word);
    atomic_store_explicit(word, value, memory_order_seq_cst);
}

static inline uint64_t fetch_add_seq(atomic_word *word, uint64_t amount) {
    explore_access(word);
    return atomic_fetch_add_explicit(word, amount, memory_order_seq_cst);
}

static inline uint64_t fetch_or_seq(atomic_word *word, uint64_t bits) {
    explore_access(word);
    return atomic_fetch_or_explicit(word, bits, memory_order_seq_cst);
}

static inline uint64_t fetch_and_seq(atomic_word *word, uint64_t bits) {
    explore_access(word);
    return atomic_fetch_and_explicit(word, bits, memory_order_seq_cst);
}

/* Sets bit `bit` of the word; true if this call changed it from 0 to 1. One instruction where the machine has it. */
static inline bool set_bit_seq(atomic_word *word, unsigned bit) {
    explore_access(word);
    uint64_t mask = UINT64_C(1) << bit;
    bool was_set = atomic_fetch_or_explicit(word, mask, memory_order_seq_cst) & mask;
    return !was_set;
}

/* Clears bit `bit` of the word; true if this call changed it from 1 to 0. */
static inline bool clear_bit_seq(atomic_word *word, unsigned bit) {
    explore_access(word);
    uint64_t mask = UINT64_C(1) << bit;
    return (atomic_fetch_and_explicit(word, ~mask, memory_order_seq_cst) >> bit) & 1;
}

/* Replaces *expected by `desired`; on failure, *expected becomes the value found. */
static inline bool compare_exchange_seq(atomic_word *word, uint64_t *expected, uint64_t desired) {
    explore_access(word);
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_seq_cst, memory_order_seq_cst);
}

static inline uint32_t half_load_seq(const atomic_half *half) {
    explore_access(half);
    return atomic_load_explicit(half, memory_order_seq_cst);
}

static inline uint32_t half_fetch_add_seq(atomic_half *half, uint32_t amount) {
    explore_access(half);
    return atomic_fetch_add_explicit(half, amount, memory_order_seq_cst);
}

/* Replaces *expected by `desired`; on failure, *expected becomes the value found. */
static inline bool half_compare_exchange_seq(atomic_half *half, uint32_t *expected, uint32_t desired) {
    explore_access(half);
    return atomic_compare_exchange_strong_explicit(half, expected, desired, memory_order_seq_cst, memory_order_seq_cst);
}

static inline uint8_t byte_load_seq(const atomic_byte *byte) {
    explore_access(byte);
    return atomic_load_explicit(byte, memory_order_seq_cst);
}

static inline uint8_t byte_exchange_seq(atomic_byte *byte, uint8_t value) {
    explore_access(byte);
    return atomic_exchange_explicit(byte, value, memory_order_seq_cst);
}

static inline void byte_store_release(atomic_byte *byte, uint8_t value) {
    explore_access(byte);
    atomic_store_explicit(byte, value, memory_order_release);
}

static inline void half_store_seq(atomic_half *half, uint32_t value) {
    explore_access(half);
    atomic_store_explicit(half, value, memory_order_seq_cst);
}

#endif
