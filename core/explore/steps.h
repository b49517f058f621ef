/* steps.h: which accesses of which source are places to switch; add_harness gives each source a step of its own name.
 *
 * COARSE: a call of bitmap.c or slots.c is one step, before it, and one after each change of whether a slot is used:
 * finer scenarios explore both on their own (scenarios.c, shared_slots.c). An access that only one process can see (the
 * local lock, the word that a fork wipes) is no step, unless the process has several threads. Of a name in the catalog,
 * only the first words are steps; the header's hint when the dead were looked for is none.
 */
#ifndef BLOCKPOOL_STEPS_H
#define BLOCKPOOL_STEPS_H

#include <stddef.h>

#include "shared/layout.h"

#define STEPS_NAME_WORDS 2u /* of each name, that are steps */

enum grain { COARSE, FINE };

/* Before a schedule. */
void steps_set_up(enum grain of_bitmap, enum grain of_slots);

/* Where the pool's header and catalog are. */
void steps_pool(const struct layout_header *header, const struct catalog_entry *catalog);

/* Memory that is never a step, as nothing in it changes: the annex, where no scenario has queues. */
void steps_idle(const void *start, size_t bytes);

/* Memory that only one process can see, for each process. Range 0, 1 or 2. */
void steps_private(unsigned range, const void *start, size_t bytes);

/* The kernel was called. */
void steps_of_kernel(void);

#endif
