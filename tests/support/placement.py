"""Where the memory of an array is."""


def address_of(array):
    """Return the address of the first element."""
    return array.__array_interface__["data"][0]


def lies_in(array, pool):
    """Say whether all bytes of an array are in the memory of a pool."""
    start = address_of(array) - pool.address
    return start >= 0 and start + array.nbytes <= pool.nbytes
