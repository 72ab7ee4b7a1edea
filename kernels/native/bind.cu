// What a challenge does to the values of a multilinear polynomial: crates/prover/src/bind.rs.
#include "field.cuh"

// Bind the most significant variable. A thread writes only where it has read, so the values stay in their place; `half` are left.
extern "C" __global__ void __launch_bounds__(THREADS) bind_variable(Extension* values, uint64_t half, Extension challenge) {
  for (uint64_t item = first_item(); item < half; item += items_apart()) {
    const Extension low = values[item];
    values[item] = add(low, multiply(challenge, subtract(values[half + item], low)));
  }
}
