# Topics: the classes whose methods programs call, of publishers and of readers.
#
# A Subscription is a channel of its own, so it stays open when the Topic is closed. It reads copies (channels.pxd), so
# a reader that is slow, stopped or dead holds nothing but, if it is a waiting one, its cursor. That is where its oldest
# message is that a thread is still unpacking, or else its next one.

# The Topic of that name, which is made if there is none; see Pool.topic().
cdef object open_topic(_Mapping m, name, history, permanent, spin)
