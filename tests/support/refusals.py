"""What programs use to look at errors."""

import blockpool as bp


def refused(call):
    """Return the error with which the call fails, as it must."""
    try:
        call()
    except (OSError, bp.BlockPoolError) as error:
        return error
    raise AssertionError("it was not refused")
