// The tree of fractions and the rounds of its layers: crates/prover/src/cpu/{fractions,layer}.rs.
#include "fraction.cuh"
#include "sum.cuh"

// The layer above: the children of a node are `half` nodes apart.
extern "C" __global__ void __launch_bounds__(THREADS) add_fractions(const Fraction* children, uint64_t half, Fraction* parents) {
  for (uint64_t item = first_item(); item < half; item += items_apart()) {
    const Fraction left = children[item], right = children[half + item];
    parents[item] = {add(multiply(left.numerator, right.denominator), multiply(right.numerator, left.denominator)),
                     multiply(left.denominator, right.denominator)};
  }
}

// A round over the nodes of a layer, of which 2 * `half` are left: second children are `second` nodes behind the first. eq of the later
// coordinates is `high[item / low_count] * low[item % low_count]`. Of a block: `sums[2 * block]` at 0, then the leading coefficient.
extern "C" __global__ void __launch_bounds__(THREADS)
    layer_round(const Fraction* children, uint64_t second, uint64_t half, const Extension* high, const Extension* low, uint64_t low_count,
                Extension lambda, Extension* sums) {
  Extension constant = {0, 0, 0, 0}, leading = {0, 0, 0, 0};
  for (uint64_t item = first_item(); item < half; item += items_apart()) {
    const Fraction left = children[item], right = children[second + item];
    const Fraction left_high = children[half + item], right_high = children[second + half + item];
    const Extension weight = multiply(high[item / low_count], low[item % low_count]);
    // n0 d1 + d0 m1, with m1 = n1 + lambda d1.
    const Extension sum = add(right.numerator, multiply(lambda, right.denominator));
    const Extension sum_high = add(right_high.numerator, multiply(lambda, right_high.denominator));
    const Extension value = add(multiply(left.numerator, right.denominator), multiply(left.denominator, sum));
    const Extension numerator = subtract(left_high.numerator, left.numerator);
    const Extension denominator = subtract(left_high.denominator, left.denominator);
    const Extension square = add(multiply(numerator, subtract(right_high.denominator, right.denominator)),
                                 multiply(denominator, subtract(sum_high, sum)));
    constant = add(constant, multiply(weight, value));
    leading = add(leading, multiply(weight, square));
  }
  const Extension own[2] = {constant, leading};
  write_sums(own, 2, sums);
}

__device__ __forceinline__ Extension bind(const Extension& low, const Extension& high, const Extension& challenge) {
  return add(low, multiply(challenge, subtract(high, low)));
}

// Bind the most significant variable of first and second children, in their places.
extern "C" __global__ void __launch_bounds__(THREADS)
    bind_children(Fraction* children, uint64_t second, uint64_t half, Extension challenge) {
  for (uint64_t item = first_item(); item < 2 * half; item += items_apart()) {
    Fraction* own = children + (item < half ? item : second + item - half);
    const Fraction low = own[0], high = own[half];
    own[0] = {bind(low.numerator, high.numerator, challenge), bind(low.denominator, high.denominator, challenge)};
  }
}
