# Recording: a process takes down what all processes of a shared pool allocate and free; see shared/recording.h.
#
# For blockpool._recording; nothing else here uses it.
