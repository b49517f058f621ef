/* notes.h: the notes of runs (note.h), as an attachment sets and reads them.
 *
 * The segment ends with room for a note a block; at first none of its pages exists. A page is reserved when a note is
 * first written to it, never by touching it: with no memory left, that would end the process by SIGBUS. A mark a page,
 * in memory that was reserved when the segment was made, says that it is there; without the mark, nobody reads or
 * writes the page. A mark is a number that damage does not make: who finds anything else reserves the page once more,
 * which changes nothing if it was there.
 *
 * WHO IS SETTING a note names its slot in the note, and before that the block in its slot's record (`noting`). So a
 * slot in a note means a process at work only if the slot is in use and its record names the block: all else was left
 * by a dead process whose slot has gone to another one, or by damage, and is taken over. Within a process the
 * attachment's lock lets only one thread set notes, and no fork come in between.
 */
#ifndef BLOCKPOOL_NOTES_H
#define BLOCKPOOL_NOTES_H

#include "shared/attachment.h"

/* Sets the note of a run that this process holds, at most NOTE_MOST bytes; 0 bytes: it has none. A process that dies or
 * stops in it leaves no note. With 0 seconds, does only what takes a few instructions, and returns POOL_LOCKED if that
 * is not enough. Otherwise may reserve memory, and wait so long: POOL_NO_ROOM: there is no memory for it. POOL_BUSY:
 * another process, or another thread of this one, was setting it all the time. */
enum pool_status attachment_set_note(struct attachment *attachment, const struct pool_run *run, const void *bytes,
                                     unsigned length, double seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Copies the note of a run that the caller holds; returns its length. 0: it has none, or is just getting one. */
unsigned attachment_note(const struct attachment *attachment, const struct pool_run *run,
                         unsigned char bytes[NOTE_MOST]);

#endif
