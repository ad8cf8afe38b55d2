"""HTTP in, models out."""
