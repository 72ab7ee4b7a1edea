// Merkle trees with digests of seven words: crates/statement/src/tree.rs.
#include "blake2s.cuh"

constexpr uint32_t DIGEST_WORDS = 7;

// The digest of every row of `width` words, one row after the other.
extern "C" __global__ void __launch_bounds__(THREADS)
    hash_rows(const uint32_t* rows, uint32_t width, uint64_t count, uint32_t* digests) {
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    const uint32_t* row = rows + item * width;
    State state = initial(0x6c65626f, 0x6661656c);  // obelleaf
    for (uint32_t from = 0; from < width; from += BLOCK) {
      const uint32_t left = width - from;
      const bool last = left <= BLOCK;
      uint32_t block[BLOCK];
#pragma unroll
      for (uint32_t word = 0; word < BLOCK; word++) block[word] = word < left ? row[from + word] : 0;
      compress(state, block, 4 * uint64_t(last ? width : from + BLOCK), last);
    }
#pragma unroll
    for (uint32_t word = 0; word < DIGEST_WORDS; word++) digests[item * DIGEST_WORDS + word] = state.words[word];
  }
}

// The digest of two digests that follow each other.
__device__ __forceinline__ State hash_children(const uint32_t* children) {
  uint32_t block[BLOCK];
#pragma unroll
  for (uint32_t word = 0; word < BLOCK; word++) block[word] = word < 2 * DIGEST_WORDS ? children[word] : 0;
  State state = initial(0x6c65626f, 0x65646f6e);  // obelnode
  compress(state, block, 4 * 2 * DIGEST_WORDS, true);
  return state;
}

// Up to nine levels of a tree whose levels lie one after the other: `count` nodes begin at the node `first`, a power of two of them, and
// `levels` of their ancestors follow. A block takes 512 neighbours and climbs alone, handing levels on in shared memory.
extern "C" __global__ void __launch_bounds__(THREADS)
    hash_levels(uint32_t* nodes, uint64_t first, uint64_t count, uint32_t levels) {
  __shared__ uint32_t handed_on[THREADS * DIGEST_WORDS];
  const uint32_t width = count < 2 * THREADS ? uint32_t(count) : 2 * THREADS;
  for (uint64_t group = blockIdx.x; group * width < count; group += gridDim.x) {
    uint64_t level = first, size = count;
    uint32_t parents = width / 2;
    const uint32_t* children = nodes + (level + group * width) * DIGEST_WORDS;
    for (uint32_t climbed = 0; climbed < levels; climbed++) {
      level += size;
      size /= 2;
      const bool works = threadIdx.x < parents;
      State state;
      if (works) state = hash_children(children + threadIdx.x * 2 * DIGEST_WORDS);
      // Children are read before their place takes parents, and all parents are there before one is read.
      __syncthreads();
      if (works) {
        uint32_t* node = nodes + (level + group * parents + threadIdx.x) * DIGEST_WORDS;
#pragma unroll
        for (uint32_t word = 0; word < DIGEST_WORDS; word++)
          node[word] = handed_on[threadIdx.x * DIGEST_WORDS + word] = state.words[word];
      }
      __syncthreads();
      children = handed_on;
      parents /= 2;
    }
  }
}
