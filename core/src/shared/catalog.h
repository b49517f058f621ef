/* catalog.h: the names of a pool's runs, and of its queues, which are runs of the annex. The catalog holds a block that
 * has a name; the process that made it may leave or die. It holds a queue only if that is permanent: otherwise the
 * queue ends when nobody has it open, and then its entry counts as one without a run.
 *
 * An entry is a name and a word that says which run has it, 0 if none. CHANGES are made under the gate, one at a time.
 * What decides is one store of the word: readers find the old run or the new one. The flag KEPT in a run's head
 * (ledger.h) is set before that store and cleared after it, so a process that dies in between leaves a run that is kept
 * and has no name, never a name without its run; recovery forgets such runs.
 *
 * READING needs no gate and no lock. A run that a reader finds may be forgotten before the reader holds it: then its
 * generation is stale, and the reader looks again. The entry of a name that is gone may get another name; so a name is
 * read between two looks at the entry's sequence, which is odd while the name changes. A sequence that stays odd is
 * that of a dead process, and its entry has no run.
 */
#ifndef BLOCKPOOL_CATALOG_H
#define BLOCKPOOL_CATALOG_H

#include "shared/shared_pool.h"

#ifndef CATALOG_NAMES      /* the exploration does with fewer */
#define CATALOG_NAMES 256u /* the most names a pool can have */
#endif
#define CATALOG_NAME_BYTES 232u /* with the zero at its end */

struct catalog_entry {
    atomic_word sequence;
    atomic_word run;  /* 0, or index << 40 | generation; no run has generation 0 */
    atomic_word kind; /* 0 for a block, else enum queue_kind; changes with the name */
    atomic_word name[CATALOG_NAME_BYTES / 8];
};
_Static_assert(sizeof(struct catalog_entry) == 256, "whole cache lines");

/* The names, and the pools that their runs belong to. */
struct catalog {
    struct catalog_entry *entries;
    struct shared_pool *pool, *annex;
};

enum catalog_status {
    CATALOG_OK,
    CATALOG_UNKNOWN, /* no such name */
    CATALOG_TAKEN,   /* another run has the name */
    CATALOG_OTHER,   /* something of another kind has the name */
    CATALOG_FULL,    /* all entries have names */
    CATALOG_CORRUPT, /* the run is not there, or not held by the slot */
};

/* Under the gate: gives the name to a run of that kind that the slot holds. With `replace` the run that had it loses
 * it; without, CATALOG_TAKEN (also if the same run has it). A run that is not `kept` is not held by its name. */
enum catalog_status catalog_keep(const struct catalog *catalog, unsigned slot, const char *name,
                                 const struct pool_run *run, unsigned kind, bool kept, bool replace)
    __attribute__((warn_unused_result));

/* The index and generation of the run that has the name, and its kind; it may lose it at any time. */
enum catalog_status catalog_find(const struct catalog *catalog, const char *name, struct pool_run *run, unsigned *kind)
    __attribute__((warn_unused_result));

/* Under the gate: the name is gone. */
enum catalog_status catalog_forget(const struct catalog *catalog, const char *name) __attribute__((warn_unused_result));

/* Copies the name, the run and the kind of the first entry at or after `from` that has one; returns which, or
 * CATALOG_NAMES. */
unsigned catalog_next(const struct catalog *catalog, unsigned from, char name[CATALOG_NAME_BYTES], struct pool_run *run,
                      unsigned *kind);

/* Under the gate: forgets runs that are kept and have no name, among n blocks of the pool, or of the annex, from
 * `first` on. */
void catalog_recover(const struct catalog *catalog, struct shared_pool *pool, uint64_t first, uint64_t n);

/* The first entry at or after `from` whose block is not there or not kept; CATALOG_NAMES if there is none. */
unsigned catalog_fault(const struct catalog *catalog, unsigned from);

#endif
