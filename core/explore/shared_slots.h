/* shared_slots.h: processes that come, go, die and look after each other: what shared_scenarios.c uses of
 * shared_slots.c. */
#ifndef BLOCKPOOL_SHARED_SLOTS_H
#define BLOCKPOOL_SHARED_SLOTS_H

/* No process has a slot. */
void slots_set_up(void);

/* Takes a slot without the gate; the other two of three look for the dead, also without it, and find only dead ones. */
void slots_take_and_probe(unsigned thread);

/* Comes through the gate, after recovering the dead, and leaves. */
void slots_come_and_go(unsigned thread);

/* Every process has a slot of its own; a slot in use is locked by its process, if that lives. */
void slots_at_rest(void);

/* For exploration.stopped: the locks of the dead are gone. */
void slots_stopped(void);

#endif
