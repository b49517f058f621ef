"""Attach a pool by its name and by a ticket; print "in" or the error for each.

Arguments: the name of the pool, the ticket.
"""

import sys

import blockpool as bp

for call, argument in ((bp.Pool.attach, sys.argv[1]), (bp.redeem, sys.argv[2])):
    try:
        kept = call(argument)
        print("in")
    except bp.TooManyProcesses as error:
        print(error)
