# Queues: the class whose methods programs call, and the messages that they have received and are not done with.

# A Queue of that name, which is made if there is none; see Pool.queue().
cdef object open_queue(_Mapping m, name, capacity, overflow, redeliver, permanent, spin)
