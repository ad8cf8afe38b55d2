"""What is in the topic of insights: what templates achieve, what messages cost, and experiments."""
