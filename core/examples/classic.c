/* classic.c: the three classic calls from C; classic.asm is the same program in assembly.
 *
 *     cc -o classic classic.c $(pkg-config --cflags --libs blockpool)
 *     ./classic
 *
 * Ends with 0 if every call did what it should, refusals included; else with 1 and a sentence on stderr.
 */
#include <blockpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_SIZE BLOCKPOOL_DEFAULT_POOL_SIZE
#define BLOCK_SIZE BLOCKPOOL_DEFAULT_BLOCK_SIZE
#define BLOCKS 5

static void expect(int holds, const char *what, int status) {
    if (!holds) {
        fprintf(stderr, "%s: %s\n", what, blockpool_message(status));
        exit(1);
    }
}

/* A deallocation that must be refused, and why it was. */
static void must_be_refused(void *address, const char *what, int expected) {
    int status = deallocate_memory_blocks(address);
    expect(status == expected, what, status);
    printf("%s is refused: %s\n", what, blockpool_message(status));
}

int main(void) {
    int status = initialize_memory_allocator(POOL_SIZE, BLOCK_SIZE);
    expect(status == BLOCKPOOL_OK, "initialize", status);
    printf("a pool of %d bytes, in blocks of %d\n", POOL_SIZE, BLOCK_SIZE);

    char *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = allocate_memory_blocks(1);
        expect(blocks[i] != NULL, "allocate", blockpool_last_status());
        snprintf(blocks[i], BLOCK_SIZE, "written to block %d", i + 1);
    }
    char *run = allocate_memory_blocks(BLOCKS);
    expect(run != NULL, "allocate a run", blockpool_last_status());
    memset(run, 'r', BLOCKS * BLOCK_SIZE - 1);
    run[BLOCKS * BLOCK_SIZE - 1] = 0;

    for (int i = 0; i < BLOCKS; i++) {
        printf("block %d, %3d bytes into the pool: %s\n", i + 1, (int)(blocks[i] - blocks[0]), blocks[i]);
    }
    printf("run of %d, %d bytes into the pool: %d letters\n", BLOCKS, (int)(run - blocks[0]), (int)strlen(run));

    must_be_refused(run + BLOCK_SIZE, "deallocating the run's second block", BLOCKPOOL_INSIDE_RUN);
    for (int i = 0; i < BLOCKS; i++) {
        status = deallocate_memory_blocks(blocks[i]);
        expect(status == BLOCKPOOL_OK, "deallocate", status);
    }
    status = deallocate_memory_blocks(run);
    expect(status == BLOCKPOOL_OK, "deallocate the run", status);
    printf("all deallocated\n");

    must_be_refused(blocks[2], "deallocating block 3 again", BLOCKPOOL_NOT_ALLOCATED);
    must_be_refused(&status, "deallocating a variable", BLOCKPOOL_OUTSIDE);
    return 0;
}
