// Rounds of products and zerochecks: crates/prover/src/cpu/program.rs.
#include "sum.cuh"

// Of a product of up to three factors and eq.
constexpr uint32_t DEGREE_MAX = 4;
constexpr uint32_t FACTORS_MAX = 3;

// `coefficient` times the product of `count` factors, by their places in a row.
struct alignas(16) Monomial {
  Extension coefficient;
  uint32_t count;
  uint32_t places[FACTORS_MAX];
};

// A value on the line through two others, which it has at 0 and at 1.
__device__ __forceinline__ Extension at(const Extension& low, const Extension& high, uint32_t point) {
  if (point == 0) return low;
  return add(low, scale(subtract(high, low), point));
}

// The values at 0 .. degree of the polynomial in the most significant variable: `sums[block * (degree + 1) + point]` is a block's part.
// Rows of `width` elements begin with eq.
extern "C" __global__ void __launch_bounds__(THREADS)
    monomials_round(const Extension* rows, uint32_t width, uint64_t half, const Monomial* monomials, uint32_t count, uint32_t degree,
                    Extension* sums) {
  Extension own[DEGREE_MAX + 1];
#pragma unroll
  for (uint32_t point = 0; point <= DEGREE_MAX; point++) own[point] = {0, 0, 0, 0};
  for (uint64_t item = first_item(); item < half; item += items_apart()) {
    const Extension* low = rows + item * width;
    const Extension* high = low + half * width;
#pragma unroll
    for (uint32_t point = 0; point <= DEGREE_MAX; point++) {
      if (point > degree) continue;
      Extension value = {0, 0, 0, 0};
      for (uint32_t place = 0; place < count; place++) {
        const Monomial monomial = monomials[place];
        Extension product = monomial.coefficient;
#pragma unroll
        for (uint32_t factor = 0; factor < FACTORS_MAX; factor++)
          if (factor < monomial.count)
            product = multiply(product, at(low[monomial.places[factor]], high[monomial.places[factor]], point));
        value = add(value, product);
      }
      own[point] = add(own[point], multiply(at(low[0], high[0], point), value));
    }
  }
  write_sums(own, degree + 1, sums);
}
