"""A process from its start to its drained stop."""
