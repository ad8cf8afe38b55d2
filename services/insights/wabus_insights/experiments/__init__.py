"""Decides which of two texts is better, at every look. Pure."""
