"""What happens to a send: its states, its turn, what an answer of Meta's means. No I/O, no clock, no randomness."""
