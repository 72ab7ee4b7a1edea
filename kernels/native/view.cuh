// The entries of a tensor along the bits of an index: kernels/src/view.rs.
#pragma once

#include "field.cuh"

constexpr uint32_t PARTS_MAX = 8;

// How entries are stored.
enum Storage : uint32_t {
  WORDS,        // canonical words of the field
  INTEGERS_16,  // signed
  INTEGERS_32,  // signed
  ONE_HOT,      // the one column of each row of `width` columns that is 1
};

// `bits` bits of the index move by `stride` each time they count one more. There is nothing from `size` on: zeros.
struct Part {
  uint64_t stride;
  uint32_t bits, size;
};

struct View {
  const void* entries;
  uint64_t start;
  uint32_t storage, width;
  uint32_t count, unused;
  Part parts[PARTS_MAX];  // the most significant bits first
};

// The entry at an index, as a word of the field.
__device__ __forceinline__ uint32_t read(const View& view, uint64_t index) {
  uint64_t place = view.start;
#pragma unroll
  for (uint32_t reversed = 0; reversed < PARTS_MAX; reversed++) {
    const uint32_t part = PARTS_MAX - 1 - reversed;
    if (part < view.count) {
      const uint64_t digit = index & ((uint64_t(1) << view.parts[part].bits) - 1);
      index >>= view.parts[part].bits;
      if (digit >= view.parts[part].size) return 0;
      place += digit * view.parts[part].stride;
    }
  }
  switch (view.storage) {
    case WORDS: return static_cast<const uint32_t*>(view.entries)[place];
    case INTEGERS_16: return of_integer(static_cast<const int16_t*>(view.entries)[place]);
    case INTEGERS_32: return of_integer(static_cast<const int32_t*>(view.entries)[place]);
    default: return static_cast<const uint32_t*>(view.entries)[place / view.width] == place % view.width;
  }
}
