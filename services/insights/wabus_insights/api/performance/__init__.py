"""What is asked about what templates achieve."""
