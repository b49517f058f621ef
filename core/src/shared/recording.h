/* recording.h: a process records what all processes of a shared pool allocate and free.
 *
 * The segment ends with room for lanes (lanes.h), and none of it exists until somebody records. The recorder is an
 * attached process. It reserves the lanes, a few at a time, before any thread may take one, so that no thread that
 * allocates ever waits for memory, or is ended by a SIGBUS for want of it. Then it turns recording on: one word of the
 * header, which every allocation and every free reads, and which is 0 while nobody records.
 *
 * That word is the recorder's ROUND, a number that goes up each time the recorder has looked at all lanes, about every
 * millisecond. A thread that sees a new round puts into its lane who it is, and the time.
 *
 * AN ALLOCATION is put after its run is complete, and before anybody else can learn of it. A FREE is put while the
 * run's head is CLOSING: before its blocks can be allocated again. So in the time that an observer sees, each run's
 * allocation comes before its free, and its free before the next allocation of its blocks. If the process that frees a
 * run dies in between, the one that recovers it may put the free once more; and an allocation may be missing if its
 * process died right after it. Who reads a recording expects both.
 *
 * Only one process at a time records. If it dies, recording ends when its slot is freed; until then the lanes run full,
 * and events are lost, which costs little and holds nobody up.
 *
 * The memory of blocks of the annex (queues and messages) is not recorded.
 */
#ifndef BLOCKPOOL_RECORDING_H
#define BLOCKPOOL_RECORDING_H

#include "shared/attachment.h"

/* Makes a mapped attachment record what it allocates and frees while somebody wants that. */
void recording_watch(struct attachment *attachment);

/* Makes this process the recorder. Waits for the gate. POOL_EXISTS: failure->process records already, perhaps this one.
 * POOL_NO_ROOM: there is no memory for lanes. */
enum pool_status recording_start(struct attachment *attachment, double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Takes what is in the lanes, again and again, until `seconds` have passed, `cells` is half full, or *stop is not 0.
 * Returns how many of the `most` cells are filled; see enum lane_kind. Before each lane's cells there is a LANE_TAKEN,
 * and before those of a round a LANE_NOW. What a lane has before its first LANE_OWNER was meant for an earlier
 * recording. `most` is at least RECORDING_LEAST. One thread of the recorder calls it; for others there is nothing. */
#define RECORDING_LEAST (4 * LANE_CELLS)
uint64_t recording_collect(struct attachment *attachment, struct lane_cell *cells, uint64_t most, double seconds,
                           atomic_half *stop);

/* Turns recording off, except for the last recording_collect. Then recording_end lets others record. Neither does
 * anything in a process that does not record, such as a forked child of the recorder. */
void recording_stop(struct attachment *attachment);
void recording_end(struct attachment *attachment);

/* In a forked child: this thread is another one now. */
void recording_forked(void);

/* The slot of the process that records, or SLOTS_NONE. For attachments and looks. */
unsigned recording_by(const struct attachment *attachment);

/* Tells a recorder which stack allocated a run of this process, if somebody records. */
void recording_put_stack(struct attachment *attachment, const struct pool_run *run, const void *text, unsigned length);

#endif
