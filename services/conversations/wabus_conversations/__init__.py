"""Conversations: every message and every status in its thread, and whose they are."""
