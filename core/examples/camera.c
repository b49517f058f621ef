/* camera.c: a camera driver: fills blocks of a shared pool with frames, and passes them on in a queue.
 *
 *     cc -o camera camera.c $(pkg-config --cflags --libs blockpool)
 *     ./camera driver room 100 & ./camera viewer room
 *
 * The viewer may as well be a program in Python: examples/camera_viewer.py starts this driver and looks at its frames,
 * which are NumPy arrays there. No frame is copied. Either side may come first, or die and come back: the frames that
 * wait in the queue stay there as long as one of them is there.
 *
 * A frame has its number in its first two pixels, and a gradient that moves with it. Ends with 0 if every frame was as
 * it should be; else with 1 and a sentence on stderr.
 */
#include <blockpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEIGHT 480
#define WIDTH 640
#define PIXELS ((uint32_t)HEIGHT * WIDTH)
#define FRAME_BYTES (PIXELS * sizeof(uint16_t))
#define FRAMES_AT_ONCE 8
#define PATIENCE 60.0 /* seconds */

static void expect(int holds, const char *what, int status) {
    if (!holds) {
        fprintf(stderr, "%s: %s\n", what, blockpool_message(status));
        exit(1);
    }
}

static uint16_t pixel(uint32_t number, uint32_t at) {
    return at == 0 ? (uint16_t)number : at == 1 ? (uint16_t)(number >> 16) : (uint16_t)(at + number);
}

/* Makes the sensor's next frame. */
static void read_sensor(uint16_t *frame, uint32_t number) {
    for (uint32_t at = 0; at < PIXELS; at++) {
        frame[at] = pixel(number, at);
    }
}

static void drive(struct blockpool_pool *pool, struct blockpool_queue *queue, uint32_t frames) {
    struct blockpool_array image;
    struct blockpool_block frame;
    const int64_t shape[] = {HEIGHT, WIDTH};
    int status = blockpool_array_init(&image, "<u2", 2, shape);
    expect(status == BLOCKPOOL_OK, "describe a frame", status);
    for (uint32_t number = 0; number < frames; number++) {
        status = blockpool_block_allocate(pool, FRAME_BYTES, PATIENCE, &frame); /* waits while viewers have them all */
        expect(status == BLOCKPOOL_OK, "allocate a frame", status);
        read_sensor(frame.data, number);
        status = blockpool_queue_put_array(queue, &frame, &image, PATIENCE);
        expect(status == BLOCKPOOL_OK, "put a frame", status);
        blockpool_block_release(&frame); /* now the queue holds it */
    }
    status = blockpool_queue_shutdown(queue, 0); /* viewers get what is in it, and then are told that it is over */
    expect(status == BLOCKPOOL_OK, "shut the queue down", status);
    printf("driver: put %u frames\n", (unsigned)frames);
}

static int is_frame(const struct blockpool_received *message) {
    return message->kind == BLOCKPOOL_ARRAY && strcmp(message->array.type, "<u2") == 0 &&
           message->array.dimensions == 2 && message->array.shape[0] == HEIGHT && message->array.shape[1] == WIDTH &&
           blockpool_array_is_contiguous(&message->array);
}

static int is_whole(const uint16_t *frame, uint32_t number) {
    for (uint32_t at = 0; at < PIXELS; at++) {
        if (frame[at] != pixel(number, at)) {
            return 0;
        }
    }
    return 1;
}

static void view(struct blockpool_queue *queue) {
    struct blockpool_received message;
    uint32_t frames = 0;
    int status;
    while ((status = blockpool_queue_get(queue, PATIENCE, &message)) == BLOCKPOOL_OK) {
        if (!is_frame(&message) || !is_whole(message.data, frames)) {
            fprintf(stderr, "frame %u is not as it should be\n", (unsigned)frames);
            exit(1);
        }
        frames++;
        blockpool_received_done(&message); /* the driver may use the block again */
    }
    expect(status == BLOCKPOOL_SHUT_DOWN, "get a frame", status);
    printf("viewer: saw %u frames, each whole and in order\n", (unsigned)frames);
}

int main(int argc, char **argv) {
    struct blockpool_pool_options same = {.exist_ok = 1};
    struct blockpool_pool *pool;
    struct blockpool_queue *queue;
    int drives = argc == 4 && strcmp(argv[1], "driver") == 0;
    if (!drives && (argc != 3 || strcmp(argv[1], "viewer") != 0)) {
        fprintf(stderr, "usage: camera driver POOL FRAMES | camera viewer POOL\n");
        return 1;
    }
    int status = blockpool_pool_create(argv[2], FRAME_BYTES, FRAMES_AT_ONCE, &same, &pool);
    expect(status == BLOCKPOOL_OK, "create or attach the pool", status);
    status = blockpool_queue_make(pool, "frames", NULL, &queue);
    expect(status == BLOCKPOOL_OK, "open the queue", status);
    if (drives) {
        drive(pool, queue, (uint32_t)strtoul(argv[3], NULL, 10));
    } else {
        view(queue);
    }
    blockpool_queue_close(queue);
    blockpool_pool_close(pool);
    return 0;
}
