"""Sends messages through Meta's Cloud API: each at most once, and nothing of it silently lost."""
