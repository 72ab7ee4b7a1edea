// The compression function of BLAKE2s (RFC 7693, section 3.2) on a bare state: crates/statement/src/blake2s.rs.
#pragma once

#include "grid.cuh"

constexpr uint32_t BLOCK = 16;  // words

struct State {
  uint32_t words[8];
};

// The state before the first block of a hash of 32 bytes with a personalisation of two words and no key.
__device__ __forceinline__ State initial(uint32_t personal_low, uint32_t personal_high) {
  return {{0x6a09e667 ^ 0x01010020, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab ^ personal_low,
           0x5be0cd19 ^ personal_high}};
}

__device__ __forceinline__ uint32_t rotate(uint32_t word, uint32_t bits) { return __funnelshift_r(word, word, bits); }

__device__ __forceinline__ void mix(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d, uint32_t x, uint32_t y) {
  a = a + b + x;
  d = rotate(d ^ a, 16);
  c = c + d;
  b = rotate(b ^ c, 12);
  a = a + b + y;
  d = rotate(d ^ a, 8);
  c = c + d;
  b = rotate(b ^ c, 7);
}

// Absorb one block. `bytes` counts the message up to the end of this block, `last` says that nothing follows.
__device__ __forceinline__ void compress(State& state, const uint32_t (&block)[BLOCK], uint64_t bytes, bool last) {
  constexpr unsigned char order[10][BLOCK] = {
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
  };
  uint32_t v[16] = {state.words[0], state.words[1], state.words[2], state.words[3],
                    state.words[4], state.words[5], state.words[6], state.words[7],
                    0x6a09e667,     0xbb67ae85,     0x3c6ef372,     0xa54ff53a,
                    0x510e527f ^ uint32_t(bytes), 0x9b05688c ^ uint32_t(bytes >> 32), last ? ~0x1f83d9abu : 0x1f83d9abu, 0x5be0cd19};
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const unsigned char(&word)[BLOCK] = order[round];
    mix(v[0], v[4], v[8], v[12], block[word[0]], block[word[1]]);
    mix(v[1], v[5], v[9], v[13], block[word[2]], block[word[3]]);
    mix(v[2], v[6], v[10], v[14], block[word[4]], block[word[5]]);
    mix(v[3], v[7], v[11], v[15], block[word[6]], block[word[7]]);
    mix(v[0], v[5], v[10], v[15], block[word[8]], block[word[9]]);
    mix(v[1], v[6], v[11], v[12], block[word[10]], block[word[11]]);
    mix(v[2], v[7], v[8], v[13], block[word[12]], block[word[13]]);
    mix(v[3], v[4], v[9], v[14], block[word[14]], block[word[15]]);
  }
#pragma unroll
  for (int word = 0; word < 8; word++) state.words[word] ^= v[word] ^ v[word + 8];
}
