// The circle transform (Haböck, Levit, Papini, Circle STARKs, ePrint 2024/278) of columns: crates/prover/src/cpu/whir/transform.rs.
#include "view.cuh"

struct Point {
  uint32_t x, y;
};

// The constants of the last two layers of a transform to 2^log_rows rows, log_rows > 1: layer l has 2^l of them from the word 2^l on.
// `steps[0]` is the first point of the domain, bit b of a point's index adds `steps[1 + b]`.
extern "C" __global__ void __launch_bounds__(THREADS) circle_constants(const Point* steps, uint32_t log_rows, uint32_t* constants) {
  const uint64_t count = uint64_t(1) << (log_rows - 1);
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    Point point = steps[0];
    for (uint32_t bit = 0; bit + 1 < log_rows; bit++) {
      if ((item >> bit & 1) == 0) continue;
      const Point by = steps[1 + bit];
      point = {subtract(multiply(point.x, by.x), multiply(point.y, by.y)), add(multiply(point.x, by.y), multiply(point.y, by.x))};
    }
    constants[count + item] = point.y;
    if (item % 2 == 0) constants[(count + item) / 2] = point.x;
  }
}

// The constants of the layer before, of `count`, whose every second one leads to one: x becomes 2 x^2 - 1.
extern "C" __global__ void __launch_bounds__(THREADS) double_points(uint32_t* constants, uint64_t count) {
  for (uint64_t item = first_item(); item < count; item += items_apart()) {
    const uint32_t x = constants[2 * count + 2 * item];
    const uint32_t square = multiply(x, x);
    constants[count + item] = subtract(add(square, square), 1);
  }
}

// Part of `width` columns, of 2^log_rows words each: from `offset` on, the entries of a tile of which every column holds 2^arity, beginning
// with the column `first`.
extern "C" __global__ void __launch_bounds__(THREADS)
    read_columns(const __grid_constant__ View view, uint32_t arity, uint64_t first, uint64_t width, uint64_t offset, uint32_t log_rows,
                 uint32_t* columns) {
  const uint64_t items = width << arity;
  for (uint64_t item = first_item(); item < items; item += items_apart()) {
    const uint64_t column = item >> arity, place = item & ((uint64_t(1) << arity) - 1);
    columns[(column << log_rows) + offset + place] = read(view, (first << arity) + item);
  }
}

// Repeat the messages of columns, their first 2^(log_rows - repeated) words: the layers before that many would do no more.
extern "C" __global__ void __launch_bounds__(THREADS)
    repeat_columns(uint32_t* columns, uint64_t width, uint32_t log_rows, uint32_t repeated) {
  const uint64_t items = width << log_rows, message = uint64_t(1) << (log_rows - repeated);
  for (uint64_t item = first_item(); item < items; item += items_apart()) {
    const uint64_t row = item & ((uint64_t(1) << log_rows) - 1);
    if (row >= message) columns[item] = columns[item - row + row % message];
  }
}

// One layer: it acts on 2^layer blocks, whose halves (a, b) become (a + t b, a - t b), each block with a constant t of its own.
extern "C" __global__ void __launch_bounds__(THREADS)
    transform_layer(uint32_t* columns, uint64_t width, uint32_t log_rows, uint32_t layer, const uint32_t* constants) {
  const uint64_t items = width << (log_rows - 1);
  const uint32_t log_half = log_rows - layer - 1;
  for (uint64_t item = first_item(); item < items; item += items_apart()) {
    const uint64_t block = item >> log_half;
    uint32_t* low = columns + ((block << (log_half + 1)) + (item & ((uint64_t(1) << log_half) - 1)));
    uint32_t* high = low + (uint64_t(1) << log_half);
    const uint64_t layers = uint64_t(1) << layer;
    const uint32_t product = multiply(*high, constants[layers + block % layers]);
    const uint32_t value = *low;
    *low = add(value, product);
    *high = subtract(value, product);
  }
}

// Rows of columns at positions: `rows[row * row_words + first + column]`.
extern "C" __global__ void __launch_bounds__(THREADS)
    pick_rows(const uint32_t* columns, uint64_t width, uint32_t log_rows, const uint64_t* positions, uint64_t count, uint32_t* rows,
              uint64_t row_words, uint64_t first) {
  for (uint64_t item = first_item(); item < count * width; item += items_apart()) {
    const uint64_t row = item / width, column = item % width;
    rows[row * row_words + first + column] = columns[(column << log_rows) + positions[row]];
  }
}
