# The C library: shared/survey.h.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from blockpool._binding.c.attachment cimport pool_run, shared_pool


cdef extern from "shared/survey.h" nogil:
    enum:
        SURVEY_KEPT
        SURVEY_MESSAGE
        SURVEY_TICKETS
        SURVEY_NOBODY

    struct survey_cell:
        uint32_t allocated
        uint16_t holder
        uint16_t shared
        uint32_t since

    void survey_map(const shared_pool *shared, uint64_t first, uint64_t n, uint64_t cells, survey_cell *map)

    enum survey_order:
        SURVEY_BY_AGE
        SURVEY_BY_SIZE

    struct survey_found:
        pool_run run
        uint64_t score

    ctypedef struct survey_t "struct survey":
        uint64_t next
        uint64_t allocated
        uint64_t runs
        uint64_t slack
        uint64_t tickets
        uint64_t oldest_ticket
        uint64_t *held
        survey_order order
        unsigned most
        unsigned count
        survey_found *found

    void survey_begin(survey_t *survey, survey_order order, survey_found *found, unsigned most)
    bint survey_go_on(survey_t *survey, const shared_pool *shared, uint64_t n)
