"""What an experiment shows, and when that is decided. Pure: `math` and nothing else."""
