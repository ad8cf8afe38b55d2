"""SQL: the state of accounts, organisations, counts, the history."""
