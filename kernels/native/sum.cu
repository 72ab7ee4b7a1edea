// Sums of what blocks or threads have summed in part.
#include "sum.cuh"

// `sums[output * stride]` becomes the sum over `count` rows of `outputs` elements each. For many rows: a block sums one output.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_long_columns(const Extension* rows, uint64_t outputs, uint64_t count, Extension* sums, uint64_t first, uint64_t stride) {
  for (uint64_t output = blockIdx.x; output < outputs; output += gridDim.x) {
    Extension own = {0, 0, 0, 0};
    for (uint64_t row = threadIdx.x; row < count; row += blockDim.x) own = add(own, rows[row * outputs + output]);
    const Extension sum = sum_of_block(own);
    if (threadIdx.x == 0) sums[first + output * stride] = sum;
  }
}

// The same for few rows: a thread sums one output.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_short_columns(const Extension* rows, uint64_t outputs, uint64_t count, Extension* sums, uint64_t first, uint64_t stride) {
  for (uint64_t output = first_item(); output < outputs; output += items_apart()) {
    Extension sum = rows[output];
    for (uint64_t row = 1; row < count; row++) sum = add(sum, rows[row * outputs + output]);
    sums[first + output * stride] = sum;
  }
}
