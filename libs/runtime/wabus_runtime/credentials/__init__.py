"""Access tokens: sealed, and each process's copy of them."""
