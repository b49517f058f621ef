/* lock.h: locks on single bytes of a file, which end with their process.
 *
 * These are open-file-description locks, on bytes far past the end of the file. A lock belongs to the open description
 * (what open() made), not to a process or thread. It ends when the last descriptor *and the last mapping* made through
 * that description are gone, whatever ends them: exit, kill, exec. Threads that share a description do not exclude each
 * other.
 *
 * A function that can fail returns a negative errno.
 */
#ifndef BLOCKPOOL_OS_LOCK_H
#define BLOCKPOOL_OS_LOCK_H

#include <stdint.h>

#define OS_LOCK_BYTES (UINT64_C(1) << 62) /* bytes that can have a lock */

/* Tries to lock the byte for the description of `file`; -EAGAIN if another description holds it. */
int os_lock(int file, uint64_t byte);

/* The same for a description that was opened for reading only, as that of a directory: a shared lock that no other
 * description has too. Of several that try at the same time, all may fail. */
int os_lock_shared_alone(int file, uint64_t byte);

/* Unlocks the byte. */
int os_unlock(int file, uint64_t byte);

/* 1 if a description other than that of `file` has locked the byte, 0 if none has. */
int os_is_locked(int file, uint64_t byte);

/* Maps one page of the file, which a forked child does not inherit. While it stays mapped, the locks of `file` stay
 * too, even after os_close. */
int os_pin_lock(int file, void **page);
void os_unpin_lock(void *page);

#endif
