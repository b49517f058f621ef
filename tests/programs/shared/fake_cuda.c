/* A stand-in for NVIDIA's driver library: it writes each call to the file FAKE_CUDA_LOG, does nothing else, and fails
 * where FAKE_CUDA_FAIL says ("cuInit=100 cuMemHostRegister_v2=2"). It refuses what the driver would: pages that
 * are registered already, that were not registered, that are no whole pages; and calls without a context. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 16, CONTEXT = 0xC0 };

static int retained, current, ready, forked_from;
static uintptr_t starts[MANY];

static int step(const char *name, unsigned long long a, unsigned long long b) {
    char line[256], key[64];
    const char *path = getenv("FAKE_CUDA_LOG"), *failing = getenv("FAKE_CUDA_FAIL"), *found;
    int length = snprintf(line, sizeof line, "%d %s %llu %llu\n", (int)getpid(), name, a, b);
    int file = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (file >= 0) {
        if (write(file, line, (size_t)length) != length)
            abort();
        close(file);
    }
    snprintf(key, sizeof key, "%s=", name);
    found = failing == NULL ? NULL : strstr(failing, key);
    return found == NULL ? 0 : atoi(found + strlen(key));
}

int cuInit(unsigned flags) {
    int code = step("cuInit", flags, 0);
    if (code == 0 && forked_from != 0 && forked_from != getpid())
        return 3;
    if (code == 0)
        ready = 1, forked_from = getpid();
    return code;
}

int cuDeviceGetCount(int *count) {
    const char *given = getenv("FAKE_CUDA_DEVICES");
    *count = given == NULL ? 2 : atoi(given);
    return ready ? step("cuDeviceGetCount", 0, 0) : 3;
}

int cuDeviceGet(int *device, int number) {
    *device = number;
    return step("cuDeviceGet", (unsigned)number, 0);
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    const char *used = getenv("FAKE_CUDA_USED");
    *flags = 0;
    *active = used != NULL && atoi(used) == device;
    return step("cuDevicePrimaryCtxGetState", (unsigned)device, 0);
}

int cuCtxGetCurrent(void **context) {
    const char *device = getenv("FAKE_CUDA_CURRENT");
    *context = device == NULL ? NULL : (void *)(uintptr_t)(CONTEXT + atoi(device));
    return step("cuCtxGetCurrent", 0, 0);
}

int cuCtxGetDevice(int *device) {
    *device = atoi(getenv("FAKE_CUDA_CURRENT"));
    return step("cuCtxGetDevice", 0, 0);
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    int code = step("cuDevicePrimaryCtxRetain", (unsigned)device, 0);
    if (code == 0)
        *context = (void *)(uintptr_t)(CONTEXT + device), retained++;
    return code;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    int code = step("cuDevicePrimaryCtxRelease_v2", (unsigned)device, 0);
    if (code == 0 && retained-- == 0)
        abort();
    return code;
}

int cuCtxPushCurrent_v2(void *context) {
    int code = step("cuCtxPushCurrent_v2", (uintptr_t)context - CONTEXT, 0);
    if (code == 0)
        current++;
    return code;
}

int cuCtxPopCurrent_v2(void **context) {
    int code = step("cuCtxPopCurrent_v2", 0, 0);
    if (code == 0)
        *context = NULL, current--;
    return code;
}

int cuMemHostRegister_v2(void *start, size_t bytes, unsigned flags) {
    int code = step("cuMemHostRegister_v2", (uintptr_t)start, bytes), at = -1;
    if (code != 0)
        return code;
    if (!current)
        return 201;
    if ((uintptr_t)start % 4096 || bytes % 4096 || flags != 1)
        return 1;
    for (int i = 0; i < MANY; i++) {
        if (starts[i] == (uintptr_t)start)
            return 712;
        if (starts[i] == 0)
            at = i;
    }
    /* every page must be there to be read: a gap ends this program, as it would be refused by the driver */
    for (size_t i = 0; i < bytes; i += 4096)
        (void)((volatile char *)start)[i];
    starts[at] = (uintptr_t)start;
    return 0;
}

int cuMemHostUnregister(void *start) {
    int code = step("cuMemHostUnregister", (uintptr_t)start, 0);
    if (code != 0)
        return code;
    if (!current)
        return 201;
    for (int i = 0; i < MANY; i++)
        if (starts[i] == (uintptr_t)start) {
            (void)((volatile char *)start)[0]; /* the memory must still be there */
            starts[i] = 0;
            return 0;
        }
    return 713;
}

int cuGetErrorString(int code, const char **text) {
    *text = code == 2 ? "out of memory" : code == 100 ? "no CUDA-capable device is detected" : NULL;
    return *text == NULL;
}
