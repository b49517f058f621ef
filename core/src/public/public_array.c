/* public_array.c: arrays in blocks, as programs in C describe them: which are possible, and lie in their block.
 *
 * Descriptions come from programs and, through messages, from other processes; so nothing in them is trusted.
 */
#include "public/public_parts.h"

#include <string.h>

/* Whether there are elements of that kind with so many bytes. */
static bool is_element(char kind, uint64_t bytes) {
    switch (kind) {
    case 'b':
        return bytes == 1;
    case 'i':
    case 'u':
        return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    case 'f':
        return bytes == 2 || bytes == 4 || bytes == 8 || bytes == 12 || bytes == 16;
    case 'c':
        return bytes == 8 || bytes == 16 || bytes == 24 || bytes == 32;
    case 'm':
    case 'M':
        return bytes == 8;
    case 'S':
    case 'U':
    case 'V':
        return bytes >= 1;
    default:
        return false;
    }
}

/* Bytes of an element; 0 if there is no such type. */
static uint64_t element_bytes(const char type[8]) {
    const char *end = memchr(type, 0, 8);
    uint64_t bytes = 0;
    if (!end || end - type < 3 || !strchr("<>|", type[0]) || type[2] == '0') {
        return 0;
    }
    for (const char *digit = type + 2; digit < end; digit++) {
        if (*digit < '0' || *digit > '9') {
            return 0;
        }
        bytes = bytes * 10 + (uint64_t)(*digit - '0');
    }
    if (!is_element(type[1], bytes)) {
        return 0;
    }
    return type[1] == 'U' ? 4 * bytes : bytes;
}

/* Multiplies *bytes by the length of each dimension; false if there is no such shape. An empty array has 0 bytes. */
static bool multiply(const struct blockpool_array *array, uint64_t *bytes) {
    bool empty = false, fits = true;
    for (uint32_t i = 0; i < array->dimensions; i++) {
        if (array->shape[i] < 0) {
            return false;
        }
        empty |= array->shape[i] == 0;
        fits &= array->shape[i] == 0 || !__builtin_mul_overflow(*bytes, (uint64_t)array->shape[i], bytes);
    }
    *bytes = empty ? 0 : *bytes;
    return empty || (fits && *bytes <= INT64_MAX);
}

/* Bytes of all elements together; false if there is no such array. */
static bool measure(const struct blockpool_array *array, uint64_t *element, uint64_t *bytes) {
    *element = *bytes = element_bytes(array->type);
    return *element != 0 && array->dimensions <= BLOCKPOOL_MOST_DIMENSIONS && multiply(array, bytes);
}

bool public_array_fits(const struct blockpool_array *array, uint64_t bytes) {
    uint64_t element, all;
    int64_t least = 0, most = 0, reach;
    if (!measure(array, &element, &all) || array->offset > bytes || bytes > INT64_MAX) {
        return false;
    }
    if (all == 0) {
        return true;
    }
    for (uint32_t i = 0; i < array->dimensions; i++) {
        if (__builtin_mul_overflow(array->shape[i] - 1, array->strides[i], &reach) ||
            __builtin_add_overflow(reach < 0 ? least : most, reach, reach < 0 ? &least : &most)) {
            return false;
        }
    }
    int64_t begin = (int64_t)array->offset, size = (int64_t)bytes;
    return least >= -begin && element <= bytes && most <= size - begin - (int64_t)element;
}

int blockpool_array_init(struct blockpool_array *array, const char *type, unsigned dimensions, const int64_t *shape) {
    uint64_t element, bytes;
    if (array) {
        *array = (struct blockpool_array){0};
    }
    if (!array || !type || (dimensions && !shape)) {
        return BLOCKPOOL_NULL;
    }
    struct blockpool_array made = {.dimensions = dimensions};
    if (strlen(type) >= sizeof made.type || dimensions > BLOCKPOOL_MOST_DIMENSIONS) {
        return BLOCKPOOL_BAD_ARRAY;
    }
    memcpy(made.type, type, strlen(type));
    if (dimensions) {
        memcpy(made.shape, shape, dimensions * sizeof *shape);
    }
    if (!measure(&made, &element, &bytes)) {
        return BLOCKPOOL_BAD_ARRAY;
    }
    int64_t stride = (int64_t)element;
    for (unsigned i = dimensions; i-- > 0;) {
        made.strides[i] = stride;
        stride *= bytes ? made.shape[i] : 1; /* of an empty array they have no meaning */
    }
    *array = made;
    return BLOCKPOOL_OK;
}

size_t blockpool_array_bytes(const struct blockpool_array *array) {
    uint64_t element, bytes;
    return array && measure(array, &element, &bytes) ? bytes : 0;
}

int blockpool_array_is_contiguous(const struct blockpool_array *array) {
    uint64_t element, bytes;
    if (!array || !measure(array, &element, &bytes)) {
        return 0;
    }
    int64_t stride = (int64_t)element;
    for (uint32_t i = array->dimensions; bytes && i-- > 0;) {
        if (array->shape[i] != 1 && array->strides[i] != stride) {
            return 0;
        }
        stride *= array->shape[i];
    }
    return 1;
}
