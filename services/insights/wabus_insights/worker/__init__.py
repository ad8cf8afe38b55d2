"""What acts: folds the log, reads what Meta has counted, publishes what came of it."""
