"""HTTP in, models and pages out."""
