"""The synthetic street scene with exact ground truth, and the small model that knows it."""
