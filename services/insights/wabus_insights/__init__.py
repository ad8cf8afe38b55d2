"""Says what templates achieve, what messages cost, and which of two texts is better."""
