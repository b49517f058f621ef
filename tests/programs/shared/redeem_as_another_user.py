"""Redeem a handle as a user without privileges, and print why that does not work.

Argument: the handle.
"""

import os
import sys

import blockpool as bp
from refusals import refused

os.setgid(65534)
os.setuid(65534)
error = refused(lambda: bp.redeem(sys.argv[1]))
assert isinstance(error, bp.PoolNotFound), repr(error)
print(error)
