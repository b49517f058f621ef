/* core/src/block_state.h for this interpreter: with a GIL, steps come one at a time. */
#ifndef BLOCKPOOL_BINDING_BLOCK_STATE_H
#define BLOCKPOOL_BINDING_BLOCK_STATE_H

#ifndef Py_GIL_DISABLED
#define BLOCK_STATE_SERIAL 1
#endif
#include "block_state.h"

#endif
