/* blockpool.hpp: blockpool_shared.h for C++17: classes that give back what they hold, and exceptions.
 *
 *     blockpool::Pool pool = blockpool::Pool::create("camera", 1 << 20, 16);
 *     blockpool::Queue frames = pool.make_queue("frames");
 *     blockpool::Block frame = pool.allocate(480 * 640 * 2);
 *     read_sensor(frame.as<uint16_t>());
 *     frames.put(frame, blockpool::array_of<uint16_t>({480, 640}));
 *
 *     while (std::optional<blockpool::Received> message = frames.get()) ...      until the queue is shut down
 *
 * Pools and queues live as long as the last object that was made from them. Objects can be moved, not copied. Timeouts
 * and threads are as in blockpool_shared.h, which says what each call does. A call that fails throws blockpool::Error.
 */
#ifndef BLOCKPOOL_HPP
#define BLOCKPOOL_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "blockpool_shared.h"

namespace blockpool {

class Error : public std::runtime_error {
  public:
    explicit Error(int why) : std::runtime_error(blockpool_message(why)), status(why) {}
    int status; /* enum blockpool_status */
};

inline void check(int status) { status == BLOCKPOOL_OK ? void() : throw Error(status); }

constexpr double forever = BLOCKPOOL_FOREVER;

/* An array of numbers of type T, in row-major order at the start of a block. */
template <typename T> blockpool_array array_of(std::initializer_list<std::int64_t> shape) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, long double>, "an array is of numbers");
    constexpr bool is_bool = std::is_same_v<T, bool>, is_float = std::is_floating_point_v<T>;
    const char kind = is_bool ? 'b' : is_float ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
    const char order = sizeof(T) == 1 ? '|' : __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    const char type[] = {order, kind, static_cast<char>('0' + sizeof(T)), 0};
    blockpool_array array;
    check(blockpool_array_init(&array, type, static_cast<unsigned>(shape.size()), shape.begin()));
    return array;
}

/* A block that is held; or nothing, if it was released or moved from. */
class Block {
  public:
    Block() = default;
    Block(Block &&other) noexcept { swap(other); }
    Block &operator=(Block other) noexcept { return swap(other), *this; }
    ~Block() { (void)blockpool_block_release(&block); }

    void *data() const { return block.data; }
    std::size_t bytes() const { return block.bytes; }
    template <typename T> T *as() const { return static_cast<T *>(block.data); }
    explicit operator bool() const { return block.data != nullptr; }
    void release() noexcept { *this = Block(); }
    std::string share() const {
        char ticket[BLOCKPOOL_TICKET_BYTES];
        check(blockpool_block_share(&block, ticket));
        return ticket;
    }
    void keep(const std::string &name, bool replace = false) const {
        check(blockpool_block_keep(&block, name.c_str(), replace));
    }

  private:
    friend class Pool;
    friend class Queue;
    friend class Received;
    explicit Block(std::shared_ptr<blockpool_pool> from) : pool(std::move(from)) {}
    void swap(Block &other) noexcept { pool.swap(other.pool), std::swap(block, other.block); }
    std::shared_ptr<blockpool_pool> pool;
    blockpool_block block = {};
};

/* A queue that is open, and the pool that it needs. */
struct Opened {
    explicit Opened(std::shared_ptr<blockpool_pool> from) : pool(std::move(from)) {}
    Opened(const Opened &) = delete;
    ~Opened() { (void)blockpool_queue_close(queue); }
    std::shared_ptr<blockpool_pool> pool;
    blockpool_queue *queue = nullptr;
};

/* A message that was received; it is done when the object ends. */
class Received {
  public:
    Received(Received &&other) noexcept { swap(other); }
    Received &operator=(Received other) noexcept { return swap(other), *this; }
    ~Received() { (void)blockpool_received_done(&message); }

    const blockpool_received *operator->() const { return &message; }
    template <typename T> T *as() const { return static_cast<T *>(message.data); }
    Block block(unsigned i = 0) const {
        Block held(opened->pool);
        check(blockpool_received_block(&message, i, &held.block));
        return held;
    }

  private:
    friend class Queue;
    explicit Received(std::shared_ptr<Opened> from) : opened(std::move(from)) {}
    void swap(Received &other) noexcept { opened.swap(other.opened), std::swap(message, other.message); }
    std::shared_ptr<Opened> opened;
    blockpool_received message = {};
};

class Queue {
  public:
    void put(const std::string &bytes, double timeout = forever) {
        check(blockpool_queue_put_bytes(opened->queue, bytes.data(), bytes.size(), timeout));
    }
    void put(const Block &block, double timeout = forever) {
        check(blockpool_queue_put_block(opened->queue, &block.block, timeout));
    }
    void put(const Block &block, const blockpool_array &array, double timeout = forever) {
        check(blockpool_queue_put_array(opened->queue, &block.block, &array, timeout));
    }
    /* Nothing if the queue was shut down; throws BLOCKPOOL_QUEUE_EMPTY after the timeout. */
    std::optional<Received> get(double timeout = forever) {
        Received received(opened);
        int status = blockpool_queue_get(opened->queue, timeout, &received.message);
        if (status == BLOCKPOOL_SHUT_DOWN) {
            return std::nullopt;
        }
        check(status);
        return received;
    }
    void shutdown(bool immediate = false) { check(blockpool_queue_shutdown(opened->queue, immediate)); }
    void spin(double seconds) { check(blockpool_queue_spin(opened->queue, seconds)); }
    void overflow(blockpool_overflow what) { check(blockpool_queue_overflow(opened->queue, what)); }
    blockpool_queue_info info() const {
        blockpool_queue_info found;
        check(blockpool_queue_stats(opened->queue, &found));
        return found;
    }

  private:
    friend class Pool;
    explicit Queue(std::shared_ptr<blockpool_pool> pool) : opened(std::make_shared<Opened>(std::move(pool))) {}
    std::shared_ptr<Opened> opened;
};

class Pool {
  public:
    /* An empty name is none. */
    static Pool create(const std::string &name, std::size_t block_size, std::size_t blocks,
                       const blockpool_pool_options &options = {}) {
        blockpool_pool *made;
        check(blockpool_pool_create(name.empty() ? nullptr : name.c_str(), block_size, blocks, &options, &made));
        return Pool(made);
    }
    static Pool attach(const std::string &name) {
        blockpool_pool *made;
        check(blockpool_pool_attach(name.c_str(), &made));
        return Pool(made);
    }
    Block allocate(std::size_t bytes, double timeout = forever) {
        return block_by(blockpool_block_allocate, bytes, timeout);
    }
    Block redeem(const std::string &ticket) { return block_by(blockpool_block_redeem, ticket.c_str()); }
    Block get(const std::string &name) { return block_by(blockpool_block_get, name.c_str()); }
    void forget(const std::string &name) { check(blockpool_pool_forget(pool.get(), name.c_str())); }
    Queue make_queue(const std::string &name, const blockpool_queue_options &options = {}) {
        return queue_by(blockpool_queue_make, name.empty() ? nullptr : name.c_str(), &options);
    }
    Queue open_queue(const std::string &name) { return queue_by(blockpool_queue_open, name.c_str()); }
    blockpool_pool_info info() const {
        blockpool_pool_info found;
        check(blockpool_pool_stats(pool.get(), &found));
        return found;
    }

  private:
    explicit Pool(blockpool_pool *made) : pool(made, blockpool_pool_close) {}
    template <typename Call, typename... Given> Block block_by(Call call, Given... given) {
        Block block(pool);
        check(call(pool.get(), given..., &block.block));
        return block;
    }
    template <typename Call, typename... Given> Queue queue_by(Call call, Given... given) {
        Queue queue(pool);
        check(call(pool.get(), given..., &queue.opened->queue));
        return queue;
    }
    std::shared_ptr<blockpool_pool> pool;
};

} /* namespace blockpool */

#endif
