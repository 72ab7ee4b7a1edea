// Integers of fixed width, and the part of the work that a thread takes. Counts and indices have 64 bits: tables pass 2^32 bytes.
#pragma once

#if defined(__CUDACC_RTC__)
typedef short int16_t;
typedef int int32_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <cstdint>
#endif

// Threads of every block.
constexpr uint32_t THREADS = 256;

// A thread begins with the item of its own number and goes on by the number of threads, so any grid does any amount of work.
__device__ __forceinline__ uint64_t first_item() { return uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ uint64_t items_apart() { return uint64_t(gridDim.x) * blockDim.x; }
