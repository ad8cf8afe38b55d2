"""Experiments as rows: what was planned, who was drawn, what is counted."""
