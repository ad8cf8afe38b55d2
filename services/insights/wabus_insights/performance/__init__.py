"""Decides what a message counts for: whose template, which hour, what became of it. Pure."""
