// Leaves of the lookup argument: crates/prover/src/cpu/leaves.rs.
#include "fraction.cuh"
#include "view.cuh"

// `count` times one fraction, from the node `first` on.
extern "C" __global__ void __launch_bounds__(THREADS) fill_leaves(Fraction* nodes, uint64_t first, uint64_t count, Fraction leaf) {
  for (uint64_t item = first_item(); item < count; item += items_apart()) nodes[first + item] = leaf;
}

// Numerators become `factor` times the entries of a tensor.
extern "C" __global__ void __launch_bounds__(THREADS)
    set_numerators(Fraction* nodes, uint64_t first, uint64_t count, uint32_t factor, const __grid_constant__ View view) {
  for (uint64_t item = first_item(); item < count; item += items_apart())
    nodes[first + item].numerator = {multiply(factor, read(view, item)), 0, 0, 0};
}

// Subtract `factor` times the entries of a tensor from denominators.
extern "C" __global__ void __launch_bounds__(THREADS)
    subtract_entries(Fraction* nodes, uint64_t first, uint64_t count, Extension factor, const __grid_constant__ View view) {
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    Extension& denominator = nodes[first + item].denominator;
    denominator = subtract(denominator, scale(factor, read(view, item)));
  }
}

// Subtract `factor` times the nearest of the integers from `low` to `high` to `from`, `from` + `step`, ..
extern "C" __global__ void __launch_bounds__(THREADS)
    subtract_integers(Fraction* nodes, uint64_t first, uint64_t count, Extension factor, int64_t from, int64_t step, int64_t low,
                      int64_t high) {
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    const int64_t own = from + int64_t(item) * step;
    Extension& denominator = nodes[first + item].denominator;
    denominator = subtract(denominator, scale(factor, of_integer(own < low ? low : own > high ? high : own)));
  }
}
