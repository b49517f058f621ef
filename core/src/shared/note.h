/* note.h: the note of a run: up to 120 bytes that every holder of the run can set and read, in memory that processes
 * share.
 *
 *     state  how often it has been set << 13 | the slot that is setting it, one up; 0: none
 *     what   generation of the run << 8 | length
 *     words  the bytes
 *
 * A NOTE BELONGS TO A RUN because `what` has its generation. So neither allocating nor freeing touches notes: the one
 * that an earlier run left at the block has another generation, and counts as none.
 *
 * READING. Look at the state; copy; look at the state again. If it is the same, and nobody was setting the note, the
 * copy is whole. The count in the state never comes back, so a reader that is stopped for hours takes no later state
 * for the one that it saw. (This is why a note has two words and not one: beside a generation there are 16 bits left,
 * and a state that came back after 65,536 times would pass a mixture for a note.)
 *
 * SETTING. Name yourself in the state, by compare-and-swap; write; say that you are done. Only one at a time may do so,
 * since one that is stopped in the middle writes the rest later. So there is no note while it is being set, and who
 * finds another slot in the state waits for that process, unless it is dead: then nobody is writing any more.
 *
 * REJECTED: two places a note, so that the old one stays whole meanwhile (twice the memory, to save a reader that looks
 * within some 20 ns from finding none); letting the last one win without waiting (the bytes of a stopped process arrive
 * later, in somebody else's note).
 */
#ifndef BLOCKPOOL_NOTE_H
#define BLOCKPOOL_NOTE_H

#include <string.h>

#include "os/atomic.h"
#include "shared/ledger.h"

#ifndef NOTE_WORDS
#define NOTE_WORDS 15u
#endif
#define NOTE_MOST (NOTE_WORDS * 8u) /* bytes */

#define NOTE_SLOT_BITS 13u
#define NOTE_LENGTH_BITS 8u

struct note {
    atomic_word state;
    atomic_word what;
    atomic_word words[NOTE_WORDS];
};

/* The slot that is setting the note; LEDGER_NOBODY without one. */
static inline unsigned note_setter(uint64_t state) {
    return (unsigned)(state & ((UINT64_C(1) << NOTE_SLOT_BITS) - 1)) - 1;
}

/* The state while the slot sets the note. */
static inline uint64_t note_begun(uint64_t state, unsigned slot) {
    return ((state >> NOTE_SLOT_BITS) + 1) << NOTE_SLOT_BITS | (slot + 1);
}

/* And afterwards. */
static inline uint64_t note_done(uint64_t state) { return state >> NOTE_SLOT_BITS << NOTE_SLOT_BITS; }

static inline uint64_t note_what(uint64_t generation, unsigned length) {
    return generation << NOTE_LENGTH_BITS | length;
}

/* Writes a note of at most NOTE_MOST bytes, for the slot that is named in the state, and says that it is done. */
static inline void note_write(struct note *note, uint64_t generation, const void *bytes, unsigned length,
                              uint64_t state) {
    uint64_t words[NOTE_WORDS] = {0};
    memcpy(words, bytes, length);
    store_release(&note->what, note_what(generation, length));
    for (unsigned w = 0; w * 8 < length; w++) {
        store_release(&note->words[w], words[w]);
    }
    store_release(&note->state, note_done(state));
}

/* Copies the note of the run of that generation and tells its length, 0 if there is none. False: it was being set. */
static inline bool note_read(const struct note *note, uint64_t generation, unsigned char bytes[NOTE_MOST],
                             unsigned *length) {
    uint64_t words[NOTE_WORDS], state = load_seq(&note->state), what = load_seq(&note->what);
    unsigned n = (unsigned)(what & ((1u << NOTE_LENGTH_BITS) - 1));
    bool is_its = what == note_what(generation, n) && n <= NOTE_MOST;
    for (unsigned w = 0; is_its && w * 8 < n; w++) {
        words[w] = load_seq(&note->words[w]);
    }
    if (note_setter(state) != LEDGER_NOBODY || load_seq(&note->state) != state) {
        return false;
    }
    *length = is_its ? n : 0;
    memcpy(bytes, words, *length);
    return true;
}

#endif
