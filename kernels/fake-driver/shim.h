// CUDA's language on a processor: the same kernel sources, compiled as C++. Each thread of a block is a fiber; a barrier is where one
// fiber makes way for the next. The order of blocks and threads changes from pass to pass, so that code which relies on one fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
// Each source has its own copy of a function's shared memory.
#define __forceinline__ static inline
#define __grid_constant__
#define __launch_bounds__(...)
// Shared memory is a section of its own, so that a block starts with rubbish in all of it.
#define __shared__ static __attribute__((section("shared_memory")))
#define __syncthreads() shim::wait_for_block(__LINE__)

struct uint3 { unsigned x, y, z; };
static uint3 threadIdx, blockIdx, blockDim, gridDim;

static inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t bits) {
  return uint32_t((uint64_t(high) << 32 | low) >> (bits & 31));
}

extern "C" char __start_shared_memory[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_shared_memory[] __attribute__((weak, visibility("hidden")));

namespace shim {

constexpr size_t STACK = 64 << 10;
constexpr int RUBBISH = 0xdb;

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(STACK);
  bool finished;
  int barrier;  // line of the barrier that it waits at, 0 while it may run
};

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static unsigned current;
static void (*body)(void**);
static void** arguments;

[[noreturn]] static inline void fail(const char* reason) {
  fprintf(stderr, "fake driver: block %u: %s\n", blockIdx.x, reason);
  abort();
}

static inline void wait_for_block(int line) {
  fibers[current].barrier = line;
  swapcontext(&fibers[current].context, &scheduler);
}

static inline void run_fiber() {
  body(arguments);
  fibers[current].finished = true;
}

static inline void start_fiber(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data();
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = &scheduler;
  fiber.finished = false;
  fiber.barrier = 0;
  makecontext(&fiber.context, run_fiber, 0);
}

// An order of `count` things: where it begins, and which way it goes.
struct Order {
  unsigned count, offset;
  bool backwards;

  Order(uint64_t& random, unsigned count) : count(count) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    offset = unsigned(random >> 33) % count;
    backwards = random >> 63;
  }

  unsigned operator[](unsigned step) const { return (offset + (backwards ? count - step : step)) % count; }
};

static inline void run_block(uint64_t& random) {
  if (__start_shared_memory != nullptr)
    memset(__start_shared_memory, RUBBISH, size_t(__stop_shared_memory - __start_shared_memory));
  const unsigned threads = blockDim.x;
  for (unsigned thread = 0; thread < threads; thread++) start_fiber(fibers[thread]);
  for (unsigned running = threads; running > 0;) {
    const Order order(random, threads);
    int barrier = 0;
    bool finished = false;
    for (unsigned step = 0; step < threads; step++) {
      current = order[step];
      Fiber& fiber = fibers[current];
      if (fiber.finished) continue;
      threadIdx.x = current;
      swapcontext(&scheduler, &fiber.context);
      if (fiber.finished) {
        running--;
        finished = true;
      } else if (barrier == 0) {
        barrier = fiber.barrier;
      } else if (barrier != fiber.barrier) {
        fail("threads wait at different barriers");
      }
    }
    if (barrier != 0 && (finished || running != threads)) fail("threads wait for others that have returned");
  }
}

template <auto kernel>
struct Kernel;

template <class... Parameters, void (*kernel)(Parameters...)>
struct Kernel<kernel> {
  static constexpr size_t count = sizeof...(Parameters);
  static constexpr size_t sizes[] = {sizeof(Parameters)...};

  template <size_t... places>
  static void call(void** given, std::index_sequence<places...>) {
    kernel(*static_cast<Parameters*>(given[places])...);
  }

  static void launch(unsigned blocks, unsigned threads, uint64_t seed, void** given) {
    body = [](void** given) { call(given, std::index_sequence_for<Parameters...>{}); };
    arguments = given;
    blockDim = {threads, 1, 1};
    gridDim = {blocks, 1, 1};
    if (fibers.size() < threads) fibers.resize(threads);
    const Order order(seed, blocks);
    for (unsigned step = 0; step < blocks; step++) {
      blockIdx = {order[step], 0, 0};
      run_block(seed);
    }
  }
};

}  // namespace shim

// What the driver finds a kernel by, and runs: its launch, and the sizes of its parameters.
#define FAKE_KERNEL(name)                                                                                              \
  extern "C" __attribute__((visibility("default"))) const struct {                                                     \
    void (*launch)(unsigned, unsigned, uint64_t, void**);                                                              \
    size_t count;                                                                                                      \
    const size_t* sizes;                                                                                               \
  } kernel_##name = {shim::Kernel<&name>::launch, shim::Kernel<&name>::count, shim::Kernel<&name>::sizes};
