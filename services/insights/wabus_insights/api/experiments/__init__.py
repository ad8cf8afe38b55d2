"""What is asked about experiments, and what is answered."""
