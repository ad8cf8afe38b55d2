"""What acts for experiments: folds what concerns them, and looks at them until they are decided."""
