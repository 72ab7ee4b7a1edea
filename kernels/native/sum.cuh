// Sums over the threads of a block.
#pragma once

#include "field.cuh"

constexpr uint32_t GROUP = 16;
static_assert(GROUP * GROUP == THREADS, "sums of groups are one group");

// The sum over all threads of a block, for its first thread. All of them have to come here, as often as they like: nothing of one sum
// is read once a barrier of the next has been passed.
__device__ __forceinline__ Extension sum_of_block(const Extension& own) {
  __shared__ Extension values[THREADS];
  __shared__ Extension groups[GROUP];
  values[threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.x < GROUP) {
    Extension sum = values[threadIdx.x];
    for (uint32_t other = threadIdx.x + GROUP; other < THREADS; other += GROUP) sum = add(sum, values[other]);
    groups[threadIdx.x] = sum;
  }
  __syncthreads();
  Extension sum = {0, 0, 0, 0};
  if (threadIdx.x == 0)
    for (uint32_t group = 0; group < GROUP; group++) sum = add(sum, groups[group]);
  return sum;
}

// The sums over all threads of a block, `used` of them, one block's after the other's.
template <uint32_t count>
__device__ __forceinline__ void write_sums(const Extension (&own)[count], uint32_t used, Extension* sums) {
#pragma unroll
  for (uint32_t place = 0; place < count; place++) {
    if (place >= used) continue;
    const Extension sum = sum_of_block(own[place]);
    if (threadIdx.x == 0) sums[blockIdx.x * used + place] = sum;
  }
}
