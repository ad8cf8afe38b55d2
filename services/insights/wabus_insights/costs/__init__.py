"""Decides what a message costs, and how that is known. Pure."""
