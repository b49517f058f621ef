# core/src/shared/sites.h: debug mode of shared pools; the header has the contracts.

from libc.stdint cimport uint64_t

from blockpool._binding.c.attachment cimport attachment, pool_run


cdef extern from "shared/sites.h" nogil:
    enum:
        SITE_TEXT_MOST

    enum site_found:
        SITE_SOUND
        SITE_OVERRUN

    struct site_caller:
        uint64_t thread
        const void *text
        unsigned length

    struct site_told:
        uint64_t process
        uint64_t thread
        unsigned length
        char *text

    struct site_story:
        uint64_t index
        uint64_t blocks
        uint64_t nbytes
        site_told allocated
        site_told freed

    struct site_finding:
        site_found found
        uint64_t block
        uint64_t at
        unsigned byte
        bint known
        site_story story

    bint sites_are_kept(const attachment *self)
    bint sites_issue(
        attachment *self, const pool_run *run, uint64_t nbytes, const site_caller *caller, site_finding *finding
    )
    bint sites_are_sound(attachment *self, const pool_run *run, site_finding *finding)
    void sites_set_caller(const site_caller *caller)
    bint sites_story(const attachment *self, const pool_run *run, site_story *story)
    bint sites_next_damage(const attachment *self, uint64_t first, site_finding *finding)
