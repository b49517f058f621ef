/* scenarios.h: what is explored: small situations in which threads meet. */
#ifndef BLOCKPOOL_SCENARIOS_H
#define BLOCKPOOL_SCENARIOS_H

#include "scheduler.h"

struct scenario {
    const char *name;
    const char *about;
    struct exploration exploration; /* its bound is what the default run can afford */
    bool stops_only;                /* useful only with stopped threads */
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

#endif
