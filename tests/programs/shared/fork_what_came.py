"""Fork with a pool that came as a pickle.

Arguments: what the child shall have, share or detach, and the pickle of a pool, block, handle or ticket in hexadecimal.
"""

import os
import pickle
import sys

import blockpool as bp

how, given = sys.argv[1], bytes.fromhex(sys.argv[2])
got = pickle.loads(given)
if isinstance(got, bp.Handle):
    got = bp.redeem(got)
pool = got if isinstance(got, bp.Pool) else got.pool
child = os.fork()
if child == 0:
    try:
        pool.allocate()
        os._exit(7)
    except bp.PoolClosed as error:
        os._exit(8 if "detach" in str(error) else 9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {"share": 7, "detach": 8}[how]
