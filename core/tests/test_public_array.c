/* Tests of public_array.c: which arrays there are, and which lie in so many bytes. */
#include "blockpool_shared.h" /* first: it must stand alone */

#include "check.h"
#include "public/public_parts.h"

static struct blockpool_array array;

static int make(const char *type, unsigned dimensions, int64_t a, int64_t b, int64_t c) {
    int64_t shape[] = {a, b, c, 1, 1, 1, 1, 1, 1};
    return blockpool_array_init(&array, type, dimensions, shape);
}

static void an_array_is_in_row_major_order(void) {
    CHECK(make("<u2", 3, 4, 5, 6), ==, BLOCKPOOL_OK);
    CHECK(strcmp(array.type, "<u2"), ==, 0);
    CHECK(array.dimensions, ==, 3);
    CHECK(array.offset, ==, 0);
    CHECK(array.readonly, ==, 0);
    CHECK(array.shape[0] == 4 && array.shape[1] == 5 && array.shape[2] == 6, ==, true);
    CHECK(array.strides[0] == 60 && array.strides[1] == 12 && array.strides[2] == 2, ==, true);
    CHECK(blockpool_array_bytes(&array), ==, 240);
    CHECK(blockpool_array_is_contiguous(&array), ==, true);
}

static void scalars_and_empty_arrays_are_arrays(void) {
    CHECK(blockpool_array_init(&array, "<f8", 0, NULL), ==, BLOCKPOOL_OK);
    CHECK(blockpool_array_bytes(&array), ==, 8);
    CHECK(public_array_fits(&array, 8), ==, true);
    CHECK(public_array_fits(&array, 7), ==, false);
    CHECK(make("<f8", 3, 4, 0, INT64_MAX), ==, BLOCKPOOL_OK);
    CHECK(blockpool_array_bytes(&array), ==, 0);
    CHECK(blockpool_array_is_contiguous(&array), ==, true);
    CHECK(public_array_fits(&array, 0), ==, true);
    CHECK(make("|u1", 8, 2, 3, 4), ==, BLOCKPOOL_OK);
    CHECK(blockpool_array_bytes(&array), ==, 24);
}

static void types_are_those_of_numpy(void) {
    static const char *const good[] = {"|b1",  "|u1", "|i1",  "<u2", ">i4", "<u8", "<f2", "<f4",   ">f8",
                                       "<f16", "<c8", "<c16", "<M8", "<m8", "|S7", "<U3", "|V100", "|V65535"};
    static const char *const bad[] = {"",    "u2",   "<",   "<u",      "<u0",  "<u02",   "<u3",         "=u2", "<x4",
                                      "<f1", "|b2",  "<M4", "<O8",     "<u-2", "<u2 ",   "<2u",         "<U",  "<u2\n",
                                      "<c4", "|V1x", "|S",  "|S00001", "<i16", "<u2<u2", "|V1234567890"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int status = make(good[i], 1, 3, 0, 0);
        CHECK(status, ==, BLOCKPOOL_OK);
        if (status != BLOCKPOOL_OK) {
            printf("  %s\n", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = make(bad[i], 1, 3, 0, 0);
        CHECK(status, ==, BLOCKPOOL_BAD_ARRAY);
        if (status != BLOCKPOOL_BAD_ARRAY) {
            printf("  %s\n", bad[i]);
        }
        CHECK(array.type[0], ==, 0);
    }
    CHECK(make("<U3", 1, 2, 0, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_array_bytes(&array), ==, 24);
    memcpy(array.type, "<u222222", 8); /* without an end */
    CHECK(blockpool_array_bytes(&array), ==, 0);
    CHECK(public_array_fits(&array, 1 << 20), ==, false);
}

static void a_wrong_shape_is_refused(void) {
    CHECK(make("<u2", 2, -1, 4, 0), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(make("<u2", 2, 0, -4, 0), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(make("<u2", 9, 1, 1, 1), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(make("<u2", UINT32_MAX, 1, 1, 1), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(make("<u2", 2, INT64_MAX, 2, 0), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(make("<u2", 3, INT64_C(1) << 32, INT64_C(1) << 32, 1), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(make("|u1", 1, INT64_MAX, 0, 0), ==, BLOCKPOOL_OK);
    CHECK(make("<u2", 1, INT64_MAX / 2 + 1, 0, 0), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(blockpool_array_init(NULL, "<u2", 0, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_array_init(&array, NULL, 0, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_array_init(&array, "<u2", 1, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_array_bytes(NULL), ==, 0);
    CHECK(blockpool_array_is_contiguous(NULL), ==, 0);
}

static void an_array_lies_in_its_block_or_is_refused(void) {
    CHECK(make("<u2", 2, 4, 5, 0), ==, BLOCKPOOL_OK); /* 40 bytes */
    CHECK(public_array_fits(&array, 40), ==, true);
    CHECK(public_array_fits(&array, 39), ==, false);
    array.offset = 8;
    CHECK(public_array_fits(&array, 48), ==, true);
    CHECK(public_array_fits(&array, 47), ==, false);
    array.offset = UINT64_MAX;
    CHECK(public_array_fits(&array, 48), ==, false);
    CHECK(public_array_fits(&array, UINT64_MAX), ==, false);
    array.offset = 30; /* backwards: rows at 30, 20, 10, 0 */
    array.strides[0] = -10;
    CHECK(public_array_fits(&array, 40), ==, true);
    CHECK(blockpool_array_is_contiguous(&array), ==, false);
    array.offset = 29;
    CHECK(public_array_fits(&array, 40), ==, false);
    array.offset = 0; /* every second element of a row */
    array.strides[0] = 20;
    array.strides[1] = 4;
    CHECK(public_array_fits(&array, 78), ==, true);
    CHECK(public_array_fits(&array, 77), ==, false);
    CHECK(blockpool_array_is_contiguous(&array), ==, false);
    array.strides[0] = 0; /* one row, four times */
    CHECK(public_array_fits(&array, 18), ==, true);
    array.strides[0] = INT64_MAX;
    CHECK(public_array_fits(&array, INT64_MAX), ==, false);
    array.strides[0] = INT64_MIN;
    CHECK(public_array_fits(&array, INT64_MAX), ==, false);
    array.dimensions = 9;
    CHECK(public_array_fits(&array, INT64_MAX), ==, false);
}

static void a_dimension_of_one_element_may_have_any_stride(void) {
    CHECK(make("<u2", 2, 1, 5, 0), ==, BLOCKPOOL_OK);
    array.strides[0] = 12345;
    CHECK(public_array_fits(&array, 10), ==, true);
    CHECK(blockpool_array_is_contiguous(&array), ==, true);
}

/* Every element of random small arrays is in the block exactly if the array fits. */
static void random_arrays_fit_if_each_element_does(void) {
    for (unsigned round = 0; round < 20000; round++) {
        int64_t first = (int64_t)check_below(12), least = first, most = first, bytes = (int64_t)check_below(60);
        CHECK(make("<u2", 3, 1 + (int64_t)check_below(4), 1 + (int64_t)check_below(4), 1 + (int64_t)check_below(4)), ==,
              BLOCKPOOL_OK);
        array.offset = (uint64_t)first;
        for (unsigned i = 0; i < 3; i++) {
            array.strides[i] = (int64_t)check_below(24) - 12;
            int64_t reach = (array.shape[i] - 1) * array.strides[i];
            least += reach < 0 ? reach : 0;
            most += reach > 0 ? reach : 0;
        }
        CHECK(public_array_fits(&array, (uint64_t)bytes), ==, least >= 0 && most + 2 <= bytes);
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(an_array_is_in_row_major_order);
    RUN(scalars_and_empty_arrays_are_arrays);
    RUN(types_are_those_of_numpy);
    RUN(a_wrong_shape_is_refused);
    RUN(an_array_lies_in_its_block_or_is_refused);
    RUN(a_dimension_of_one_element_may_have_any_stride);
    RUN(random_arrays_fit_if_each_element_does);
    return check_end();
}
