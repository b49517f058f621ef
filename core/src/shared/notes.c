/* notes.c: see notes.h. */
#include "shared/notes.h"

#include <string.h>

#include "os/process.h"
#include "os/thread.h"
#include "os/wait.h"
#include "shared/attachment_parts.h"

#ifndef NOTES_LOOKS
#define NOTES_LOOKS 1000 /* at a note that is being set, which takes some 20 ns */
#endif
#define NAP 0.0005 /* seconds, between two tries */

static struct note *note_of(const struct attachment *attachment, uint64_t index) {
    const struct layout_geometry *geometry = &attachment->geometry;
    return (struct note *)(void *)((char *)attachment->memory + layout_note_at(geometry, index));
}

/* --- pages --- */

static uint64_t page_of(uint64_t index) { return index / LAYOUT_NOTES_A_PAGE; }

static atomic_half *mark_of(const struct attachment *attachment, uint64_t page) {
    return (atomic_half *)(void *)((char *)attachment->memory + layout_note_marks_at(&attachment->geometry)) + page;
}

/* What says that the page is there. */
static uint32_t mark(uint64_t page) { return UINT32_C(0x6e6f7465) ^ (uint32_t)page; }

static bool is_there(const struct attachment *attachment, uint64_t page) {
    return half_load_seq(mark_of(attachment, page)) == mark(page);
}

/* Reserves a page of notes and marks it. */
static enum pool_status reserve(struct attachment *attachment, uint64_t page, struct pool_failure *failure) {
    uint64_t at = layout_notes_at(&attachment->geometry) + page * LAYOUT_PAGE;
    enum pool_status status = attachment_reserve(attachment, at, LAYOUT_PAGE, failure);
    if (status == POOL_OK) {
        half_store_seq(mark_of(attachment, page), mark(page));
    }
    return status;
}

/* --- setting --- */

/* Whether the slot may be at work on the note of that block. */
static bool is_at_work(const struct attachment *attachment, unsigned slot, uint64_t index) {
    const struct layout_header *header = attachment->memory;
    return slot != attachment->slot && slot < attachment->geometry.processes &&
           load_seq(&header->used[slot / 64]) >> slot % 64 & 1 &&
           load_seq(&slot_record(attachment->memory, slot)->noting) == index + 1;
}

/* Names this process in the note as the one that sets it, if no other process does; *state is the note's state then.
 * Returns the other one's slot, or LEDGER_NOBODY. */
static unsigned begin(const struct attachment *attachment, struct note *note, uint64_t index, uint64_t *state) {
    uint64_t before = load_seq(&note->state);
    do {
        if (is_at_work(attachment, note_setter(before), index)) {
            return note_setter(before);
        }
        *state = note_begun(before, attachment->slot);
    } while (!compare_exchange_seq(&note->state, &before, *state));
    return LEDGER_NOBODY;
}

/* Sets a note whose page is there, under the lock; returns the slot that is doing the same, or LEDGER_NOBODY. */
static unsigned set(struct attachment *attachment, const struct pool_run *run, const void *bytes, unsigned length) {
    struct note *note = note_of(attachment, run->index);
    uint64_t state = 0;                                              /* of no use if another has begun */
    store_release(&attachment->slot_record->noting, run->index + 1); /* before the note names this process */
    unsigned other = begin(attachment, note, run->index, &state);
    if (other == LEDGER_NOBODY) {
        note_write(note, run->generation, bytes, length, state);
    }
    store_release(&attachment->slot_record->noting, 0);
    return other;
}

/* Lets the process that is setting the note go on; if it is dead, recovers what it held. */
static void let_go_on(struct attachment *attachment) {
    unsigned slots;
    uint64_t tickets;
    struct pool_failure failure;
    if (attachment_is_looked_after(attachment) ||
        attachment_recover(attachment, 0, -1, &slots, &tickets, &failure) != POOL_OK || slots == 0) {
        os_sleep(NAP);
    }
}

enum pool_status attachment_set_note(struct attachment *attachment, const struct pool_run *run, const void *bytes,
                                     unsigned length, double seconds, struct pool_failure *failure) {
    uint64_t page = page_of(run->index);
    double end = 0;
    for (;;) {
        if (attachment_is_stray(attachment)) {
            return POOL_STRAY;
        }
        bool there = is_there(attachment, page);
        if (!there && length == 0) {
            return POOL_OK;
        }
        if (!there && seconds > 0) {
            enum pool_status status = reserve(attachment, page, failure);
            if (status != POOL_OK) {
                return status;
            }
        }
        unsigned other = attachment->slot; /* another thread of this process */
        if ((there || seconds > 0) && attachment_lock(attachment)) {
            other = set(attachment, run, bytes, length);
            attachment_unlock(attachment);
        }
        if (other == LEDGER_NOBODY) {
            return POOL_OK;
        }
        if (seconds <= 0) {
            return POOL_LOCKED;
        }
        end = end > 0 ? end : os_now() + seconds;
        if (os_now() > end) {
            failure->process = (uint64_t)attachment_process(attachment, other);
            return POOL_BUSY;
        }
        if (other == attachment->slot) {
            os_yield();
        } else {
            let_go_on(attachment);
        }
    }
}

/* --- reading --- */

unsigned attachment_note(const struct attachment *attachment, const struct pool_run *run,
                         unsigned char bytes[NOTE_MOST]) {
    unsigned length = 0;
    if (attachment_is_stray(attachment) || !is_there(attachment, page_of(run->index))) {
        return 0;
    }
    const struct note *note = note_of(attachment, run->index);
    for (unsigned looks = 0; looks < NOTES_LOOKS && !note_read(note, run->generation, bytes, &length); looks++) {
    }
    return length;
}
