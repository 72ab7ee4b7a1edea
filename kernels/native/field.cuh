// The field of integers modulo 2^31 - 1, and its extension of degree four that challenges lie in: a + b i + (c + d i) u with
// i^2 = -1 and u^2 = 2 + i. Every function takes words below the modulus and returns such words.
#pragma once

#include "grid.cuh"

constexpr uint32_t MODULUS = 0x7fffffff;

// A word below twice the modulus.
__device__ __forceinline__ uint32_t reduce_once(uint32_t word) { return word < MODULUS ? word : word - MODULUS; }

// Any 64 bits: 2^31 is 1, so the bits above the lowest 31 are added to them, twice.
__device__ __forceinline__ uint32_t reduce(uint64_t value) {
  const uint64_t folded = (value & MODULUS) + (value >> 31);
  return reduce_once(uint32_t(folded & MODULUS) + uint32_t(folded >> 31));
}

__device__ __forceinline__ uint32_t add(uint32_t left, uint32_t right) { return reduce_once(left + right); }

__device__ __forceinline__ uint32_t subtract(uint32_t left, uint32_t right) { return reduce_once(left + (MODULUS - right)); }

__device__ __forceinline__ uint32_t multiply(uint32_t left, uint32_t right) { return reduce(uint64_t(left) * right); }

// A signed integer of at most 33 bits.
__device__ __forceinline__ uint32_t of_integer(int64_t value) { return reduce(uint64_t(value + 4 * int64_t(MODULUS))); }

struct alignas(16) Extension {
  uint32_t a, b, c, d;
};

__device__ __forceinline__ Extension add(const Extension& left, const Extension& right) {
  return {add(left.a, right.a), add(left.b, right.b), add(left.c, right.c), add(left.d, right.d)};
}

__device__ __forceinline__ Extension subtract(const Extension& left, const Extension& right) {
  return {subtract(left.a, right.a), subtract(left.b, right.b), subtract(left.c, right.c), subtract(left.d, right.d)};
}

// Sums of products are reduced once. A product is below 2^62 - 2^32 + 2, so four of them fit 64 bits, as do two and three moduli.
__device__ __forceinline__ Extension multiply(const Extension& left, const Extension& right) {
  const auto product = [](uint32_t x, uint32_t y) { return uint64_t(x) * y; };
  const uint32_t minus_b = MODULUS - right.b, minus_d = MODULUS - right.d;
  // (c + d i)(c' + d' i), which u^2 multiplies by 2 + i.
  const uint32_t real = reduce(product(left.c, right.c) + product(left.d, minus_d));
  const uint32_t imaginary = reduce(product(left.c, right.d) + product(left.d, right.c));
  return {
      reduce(product(left.a, right.a) + product(left.b, minus_b) + 2 * uint64_t(real) + (MODULUS - imaginary)),
      reduce(product(left.a, right.b) + product(left.b, right.a) + 2 * uint64_t(imaginary) + real),
      reduce(product(left.a, right.c) + product(left.b, minus_d) + product(left.c, right.a) + product(left.d, minus_b)),
      reduce(product(left.a, right.d) + product(left.b, right.c) + product(left.c, right.b) + product(left.d, right.a)),
  };
}

__device__ __forceinline__ Extension scale(const Extension& element, uint32_t word) {
  return {multiply(element.a, word), multiply(element.b, word), multiply(element.c, word), multiply(element.d, word)};
}
