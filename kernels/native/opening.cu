// Rounds of openings: crates/prover/src/cpu/whir/{coordinates,rounds}.rs.
#include "sum.cuh"

// A round of an inner product of two vectors: of a block, the constant coefficient, then that of the square.
extern "C" __global__ void __launch_bounds__(THREADS)
    inner_product_round(const Extension* left, const Extension* right, uint64_t half, Extension* sums) {
  Extension constant = {0, 0, 0, 0}, leading = {0, 0, 0, 0};
  for (uint64_t item = first_item(); item < half; item += items_apart()) {
    const Extension low = left[item], other = right[item];
    constant = add(constant, multiply(low, other));
    leading = add(leading, multiply(subtract(left[half + item], low), subtract(right[half + item], other)));
  }
  const Extension own[2] = {constant, leading};
  write_sums(own, 2, sums);
}

// `target[first + item] += factor * table[item]`.
extern "C" __global__ void __launch_bounds__(THREADS)
    add_scaled(Extension* target, uint64_t first, uint64_t count, Extension factor, const Extension* table) {
  for (uint64_t item = first_item(); item < count; item += items_apart())
    target[first + item] = add(target[first + item], multiply(factor, table[item]));
}

// Products of the coordinates at which an index has a one, most significant first: a table of 2^variables for every one of `points` points.
extern "C" __global__ void __launch_bounds__(THREADS)
    coordinate_products(const uint32_t* coordinates, uint64_t points, uint32_t variables, uint32_t* products) {
  for (uint64_t item = first_item(); item < points << variables; item += items_apart()) {
    const uint32_t* own = coordinates + (item >> variables) * variables;
    uint32_t product = 1;
    for (uint32_t variable = 0; variable < variables; variable++)
      if (item >> (variables - 1 - variable) & 1) product = multiply(product, own[variable]);
    products[item] = product;
  }
}

// Add the weights of queried rows, each by its factor: products of the first coordinates are in `outer`, those of the last `inner_bits` in
// `inner`.
extern "C" __global__ void __launch_bounds__(THREADS)
    weigh_rows(Extension* weights, uint64_t count, const Extension* factors, uint64_t rows, const uint32_t* outer, const uint32_t* inner,
               uint32_t inner_bits) {
  const uint64_t inner_count = uint64_t(1) << inner_bits, outer_count = count >> inner_bits;
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    Extension sum = weights[item];
    for (uint64_t row = 0; row < rows; row++) {
      const uint32_t high = outer[row * outer_count + (item >> inner_bits)];
      const uint32_t low = inner[row * inner_count + (item & (inner_count - 1))];
      sum = add(sum, scale(factors[row], multiply(high, low)));
    }
    weights[item] = sum;
  }
}
