// Merkle trees with digests of seven words: crates/statement/src/tree.rs.
#include "blake2s.cuh"

constexpr uint32_t DIGEST_WORDS = 7;

// Hash the next `width` words of every row, which lie column after column; `absorbed` words have been before, of `row_words` in all. States
// are word after word; the last words leave digests, row after row. Three blocks share a multiprocessor: left alone, the compiler takes
// registers for two.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
    hash_columns(const uint32_t* columns, uint32_t width, uint64_t rows, uint64_t absorbed, uint64_t row_words, uint32_t* states,
                 uint32_t* digests) {
  for (uint64_t row = first_item(); row < rows; row += items_apart()) {
    State state;
    if (absorbed == 0) {
      state = initial(0x6c65626f, 0x6661656c);  // obelleaf
    } else {
#pragma unroll
      for (uint32_t word = 0; word < 8; word++) state.words[word] = states[word * rows + row];
    }
    // One address that moves on takes fewer registers than one for every word.
    const uint32_t* words_of_row = columns + row;
    for (uint32_t from = 0; from < width; from += BLOCK, words_of_row += BLOCK * rows) {
      const uint32_t left = width - from;
      uint32_t block[BLOCK];
#pragma unroll
      for (uint32_t word = 0; word < BLOCK; word++) block[word] = word < left ? words_of_row[word * rows] : 0;
      const uint64_t words = absorbed + from + (left < BLOCK ? left : BLOCK);
      compress(state, block, 4 * words, words == row_words);
    }
    if (absorbed + width < row_words) {
#pragma unroll
      for (uint32_t word = 0; word < 8; word++) states[word * rows + row] = state.words[word];
    } else {
#pragma unroll
      for (uint32_t word = 0; word < DIGEST_WORDS; word++) digests[row * DIGEST_WORDS + word] = state.words[word];
    }
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

// Nodes of a tree by their places, one after the other.
extern "C" __global__ void __launch_bounds__(THREADS)
    pick_nodes(const uint32_t* nodes, const uint64_t* places, uint64_t count, uint32_t* picked) {
  for (uint64_t item = first_item(); item < count * DIGEST_WORDS; item += items_apart())
    picked[item] = nodes[places[item / DIGEST_WORDS] * DIGEST_WORDS + item % DIGEST_WORDS];
}
