// Tables of eq and of other products: crates/statement/src/eq.rs.
#include "field.cuh"

// `products[first + item * stride] = high[item / low_count] * low[item % low_count]`. There are no entries of `low` from `low_size` on:
// zeros.
extern "C" __global__ void __launch_bounds__(THREADS)
    outer_product(const Extension* high, const Extension* low, uint64_t low_count, uint64_t low_size, uint64_t count, Extension* products,
                  uint64_t first, uint64_t stride) {
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    const uint64_t place = item % low_count;
    const Extension zero = {0, 0, 0, 0};
    products[first + item * stride] = place < low_size ? multiply(high[item / low_count], low[place]) : zero;
  }
}

// Forget the most significant variable of a table of eq, which sums to one over it.
extern "C" __global__ void __launch_bounds__(THREADS) halve_table(Extension* table, uint64_t half) {
  for (uint64_t item = first_item(); item < half; item += items_apart()) table[item] = add(table[item], table[half + item]);
}
