/* blockpool_version.h: the version number, said here alone. pyproject.toml and core/CMakeLists.txt read this line. */
#ifndef BLOCKPOOL_VERSION_H
#define BLOCKPOOL_VERSION_H

#define BLOCKPOOL_VERSION "0.1.0"

#endif
