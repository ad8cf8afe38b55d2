"""The `wabus` command: its frame, and what it does with events and dead letters."""
