/* _threads.h: what the binding does otherwise in a build of Python without the GIL. With the GIL each of these is a
 * plain access, or nothing at all. Which state needs which of them is written in _core.pyx. */
#ifndef BLOCKPOOL_THREADS_H
#define BLOCKPOOL_THREADS_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef Py_GIL_DISABLED
#define WITHOUT_GIL 1
#else
#define WITHOUT_GIL 0
#endif

/* Ends the counting of references to an object that every call refers to, as threads would meet at its count. It was
 * just made, and no other thread knows it yet. */
static inline void leave_uncounted(PyObject *object) {
#if WITHOUT_GIL
    object->ob_tid = 0;
    object->ob_ref_local = _Py_IMMORTAL_REFCNT_LOCAL;
    object->ob_ref_shared = 0;
#else
    (void)object;
#endif
}

/* --- numbers that several threads add to --- */

static inline void tally(uint64_t *number, uint64_t by) {
#if WITHOUT_GIL
    __atomic_fetch_add(number, by, __ATOMIC_RELAXED);
#else
    *number += by;
#endif
}

/* A count of references; returns the new one. What a thread did before it gave a reference up is done for the thread
 * that finds the count at zero. */
static inline uint32_t count_by(uint32_t *count, int by) {
#if WITHOUT_GIL
    return __atomic_add_fetch(count, (uint32_t)by, __ATOMIC_ACQ_REL);
#else
    return *count += (uint32_t)by;
#endif
}

/* The same for a count that may be below zero for a moment, and orders nothing. */
static inline int64_t count_signed(int64_t *count, int64_t by) {
#if WITHOUT_GIL
    return __atomic_add_fetch(count, by, __ATOMIC_RELAXED);
#else
    return *count += by;
#endif
}

static inline uint32_t count_now(const uint32_t *count) {
#if WITHOUT_GIL
    return __atomic_load_n(count, __ATOMIC_ACQUIRE);
#else
    return *count;
#endif
}

/* Raises a number to another one, if that is more. */
static inline void raise_to(uint64_t *number, uint64_t to) {
#if WITHOUT_GIL
    uint64_t now = __atomic_load_n(number, __ATOMIC_RELAXED);
    while (now < to && !__atomic_compare_exchange_n(number, &now, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#else
    *number = *number < to ? to : *number;
#endif
}

/* Sets a flag; whether this call did. */
static inline bool take_flag(int *flag) { return __atomic_exchange_n(flag, 1, __ATOMIC_ACQ_REL) == 0; }
static inline void drop_flag(int *flag) { __atomic_store_n(flag, 0, __ATOMIC_RELEASE); }

/* Says that what a thread has set before is there, once and for all; and asks whether it is. */
static inline void publish(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELEASE); }
static inline bool is_published(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0; }

/* Puts a reference, or NULL, into a place, and returns what was there; the caller owns that. */
static inline PyObject *swap_object(PyObject **place, PyObject *object) {
    return (PyObject *)__atomic_exchange_n((void **)place, (void *)object, __ATOMIC_ACQ_REL);
}

/* --- the tables of the binding --- */

/* Held for a few operations on a table that run no Python code. A critical section would not do: it lets go while it
 * waits for another lock, such as a dictionary's own. A thread that waits for that one may be stopped by a fork while
 * it has this one; the table is whole then, and the child renews the lock. */
#if WITHOUT_GIL
static PyMutex tables_mutex;
#define lock_tables() PyMutex_Lock(&tables_mutex)
#define unlock_tables() PyMutex_Unlock(&tables_mutex)
#define renew_tables_lock() (tables_mutex = (PyMutex){0})
#else
#define lock_tables() ((void)0)
#define unlock_tables() ((void)0)
#define renew_tables_lock() ((void)0)
#endif

/* --- what a thread has of a Pool object, so that threads that allocate do not meet --- */

/* A cache line for each of a few threads: an object that keeps the mapping, made by that thread, which alone counts
 * references to it as a rule. Under the lock the place is emptied by close(), and a reference is taken by allocate().
 */
struct pool_place {
#if WITHOUT_GIL
    PyMutex mutex;
    PyObject *keeper;
#endif
    char padding[64 - WITHOUT_GIL * 2 * sizeof(void *)];
};

#if WITHOUT_GIL
enum { POOL_PLACES = 16 };

/* The places of a Pool, made now if need be; NULL if there is no memory. */
static inline struct pool_place *places_of(struct pool_place **places) {
    struct pool_place *there = (struct pool_place *)__atomic_load_n((void **)places, __ATOMIC_ACQUIRE);
    if (there == NULL) {
        void *nothing = NULL, *made = aligned_alloc(64, POOL_PLACES * sizeof(struct pool_place));
        if (made == NULL) {
            return NULL;
        }
        memset(made, 0, POOL_PLACES * sizeof(struct pool_place));
        if (__atomic_compare_exchange_n((void **)places, &nothing, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return (struct pool_place *)made;
        }
        free(made);
        there = (struct pool_place *)nothing;
    }
    return there;
}

static inline struct pool_place *place_of_thread(struct pool_place **places, uint32_t thread) {
    struct pool_place *there = places_of(places);
    return there == NULL ? NULL : &there[(thread - 1) % POOL_PLACES];
}

/* A new reference to what is there, or NULL. */
static inline PyObject *keeper_at(struct pool_place *place) {
    PyMutex_Lock(&place->mutex);
    PyObject *keeper = Py_XNewRef(place->keeper);
    PyMutex_Unlock(&place->mutex);
    return keeper;
}

static inline void set_keeper(struct pool_place *place, PyObject *keeper) {
    PyMutex_Lock(&place->mutex);
    PyObject *before = place->keeper;
    place->keeper = Py_XNewRef(keeper);
    PyMutex_Unlock(&place->mutex);
    Py_XDECREF(before);
}

static inline void empty_places(struct pool_place *places) {
    for (int p = 0; places != NULL && p < POOL_PLACES; p++) {
        set_keeper(&places[p], NULL);
    }
}
#else
#define place_of_thread(places, thread) ((struct pool_place *)NULL)
#define keeper_at(place) ((PyObject *)NULL)
#define set_keeper(place, keeper) ((void)0)
#define empty_places(places) ((void)0)
#endif

/* --- the mapping of a Block --- */

/* A Block refers to its mapping through a *keeper*: the mapping itself, or an object of its thread that refers to it.
 * With the GIL it simply refers to it. */
typedef struct {
#if WITHOUT_GIL
    PyObject *object;
#endif
} block_keeper;

/* Macros, as Cython has not defined the struct of a Block yet. */
#if WITHOUT_GIL
#define hold_mapping(block, m) hold_mapping_by(block, m, Py_NewRef((PyObject *)(m)))
/* Takes over a reference to the keeper. The Block is new. */
#define hold_mapping_by(block, m, kept_by) ((block)->keeper.object = (kept_by), (block)->mapping = (void *)(m))
#define hold_mapping_of(block, other) hold_mapping_by(block, (other)->mapping, Py_NewRef((other)->keeper.object))
#define let_mapping_go(block)                                                                                          \
    do {                                                                                                               \
        if ((block)->keeper.object != NULL) {                                                                          \
            PyObject *keeper_ = (block)->keeper.object;                                                                \
            (block)->keeper.object = NULL;                                                                             \
            (block)->mapping = NULL;                                                                                   \
            Py_DECREF(keeper_);                                                                                        \
        }                                                                                                              \
    } while (0)
#else
#define hold_mapping(block, m)                                                                                         \
    (Py_INCREF((PyObject *)(m)), Py_DECREF((PyObject *)(block)->mapping), (block)->mapping = (void *)(m))
#define hold_mapping_by(block, m, kept_by) ((void)(kept_by), hold_mapping(block, m))
#define hold_mapping_of(block, other) hold_mapping(block, (other)->mapping)
#define let_mapping_go(block) ((void)0)
#endif

/* --- the mapping of a lease --- */

/* Takes the mapping from a lease; the one caller that gets it gives the run back. The caller owns the reference. */
#define take_mapping(lease)                                                                                            \
    ((PyObject *)__atomic_exchange_n((void **)&(lease)->mapping, (void *)Py_NewRef(Py_None), __ATOMIC_ACQ_REL))

#endif
