// Sums of a tensor's entries by weights: crates/prover/src/cpu/{along,weighted}.rs.
#include "view.cuh"

// An index is that of an output, then `summed` bits that are summed out. A thread takes 2^part of these for one output:
// `sums[first + stride * (chunk of the sum * outputs + output)]`.
extern "C" __global__ void __launch_bounds__(THREADS)
    weighted_sums(const __grid_constant__ View view, const Extension* weights, uint32_t summed, uint32_t part, uint64_t outputs,
                  Extension* sums, uint64_t first, uint64_t stride) {
  const uint64_t items = outputs << (summed - part);
  for (uint64_t item = first_item(); item < items; item += items_apart()) {
    const uint64_t output = item % outputs;
    const uint64_t start = item / outputs << part;
    Extension sum = {0, 0, 0, 0};
    for (uint64_t step = start; step < start + (uint64_t(1) << part); step++)
      sum = add(sum, scale(weights[step], read(view, output << summed | step)));
    sums[first + item * stride] = sum;
  }
}
