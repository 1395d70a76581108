//! The queue seam's contract as tests that every backend passes.
