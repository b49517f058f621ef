"""Use a module of the package that was not imported, and print the error.

Argument: the name of the module.
"""

import sys

import blockpool

try:
    getattr(blockpool, sys.argv[1])
except AttributeError as error:
    print(error)
