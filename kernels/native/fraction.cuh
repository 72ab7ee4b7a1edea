// A numerator over a denominator: nodes of the lookup argument's tree.
#pragma once

#include "field.cuh"

struct Fraction {
  Extension numerator, denominator;
};
