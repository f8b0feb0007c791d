"""Products with structured matrices: blocks along a diagonal with a stride permutation, and sparse blocks."""
