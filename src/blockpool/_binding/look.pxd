# Looking: Inspector, and what blockpool._looking needs for it: pools that are looked at without being attached.
#
# An Inspector has a mapping like a Pool, but its engine takes no part in the pool: it has no slot, and the memory is
# mapped for reading only. Such a mapping is in no table, so no other part meets it; only inspect.pxi works on it.
