"""Folds what messages achieve, and reads what Meta has counted."""
