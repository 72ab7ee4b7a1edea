// Products of a matrix of weights, exact modulo 2^32: crates/model/src/integer/linear.rs.
#include "grid.cuh"

// Neighbouring threads that share sums: each takes every 32nd entry of a row.
constexpr uint32_t LANES = 32;
constexpr uint32_t GROUPS = THREADS / LANES;
// Sums of a group, as many as it has threads.
constexpr uint32_t CHANNELS = 4, ROWS = 8;
static_assert(CHANNELS * ROWS == LANES, "a thread writes one sum");

// `products[row * channels + channel]` becomes the inner product of a row of the input and a channel of the matrix that begins at entry
// `first`. Groups that take the same channels follow each other, so that weights are read from memory once.
template <class Weight>
__device__ __forceinline__ void project(const Weight* weights, uint64_t first, const int32_t* input, uint64_t rows, uint64_t channels,
                                        uint64_t width, int32_t* products) {
  __shared__ uint32_t parts[CHANNELS * ROWS][THREADS];
  const uint32_t lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  const uint64_t row_tiles = (rows + ROWS - 1) / ROWS, tiles = (channels + CHANNELS - 1) / CHANNELS * row_tiles;
  for (uint64_t start = blockIdx.x * uint64_t(GROUPS); start < tiles; start += gridDim.x * uint64_t(GROUPS)) {
    const uint64_t tile = start + group;
    const uint64_t row_from = tile % row_tiles * ROWS, channel_from = tile / row_tiles * CHANNELS;
    uint32_t sums[CHANNELS][ROWS] = {};
    if (tile < tiles)
      for (uint64_t place = lane; place < width; place += LANES) {
        uint32_t entries[ROWS];
#pragma unroll
        for (uint32_t row = 0; row < ROWS; row++)
          entries[row] = row_from + row < rows ? uint32_t(input[(row_from + row) * width + place]) : 0;
#pragma unroll
        for (uint32_t channel = 0; channel < CHANNELS; channel++) {
          if (channel_from + channel >= channels) continue;
          const uint32_t weight = uint32_t(int32_t(weights[first + (channel_from + channel) * width + place]));
#pragma unroll
          for (uint32_t row = 0; row < ROWS; row++) sums[channel][row] += weight * entries[row];
        }
      }
#pragma unroll
    for (uint32_t channel = 0; channel < CHANNELS; channel++)
#pragma unroll
      for (uint32_t row = 0; row < ROWS; row++) parts[channel * ROWS + row][threadIdx.x] = sums[channel][row];
    __syncthreads();
    uint32_t sum = 0;
    // Each thread begins at a place of its own, so that all banks of shared memory answer at once.
    for (uint32_t other = 0; other < LANES; other++) sum += parts[lane][group * LANES + (other + lane) % LANES];
    const uint64_t channel = channel_from + lane / ROWS, row = row_from + lane % ROWS;
    if (tile < tiles && channel < channels && row < rows) products[row * channels + channel] = int32_t(sum);
    // Parts are read before the next ones take their places.
    __syncthreads();
  }
}

// Three blocks share a multiprocessor, so that one multiplies while another waits for memory.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
    project_narrow(const int16_t* weights, uint64_t first, const int32_t* input, uint64_t rows, uint64_t channels, uint64_t width,
                   int32_t* products) {
  project(weights, first, input, rows, channels, width, products);
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
    project_wide(const int32_t* weights, uint64_t first, const int32_t* input, uint64_t rows, uint64_t channels, uint64_t width,
                 int32_t* products) {
  project(weights, first, input, rows, channels, width, products);
}
