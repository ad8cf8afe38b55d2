"""What acts: folds the log, calls Meta, publishes what came of it."""
