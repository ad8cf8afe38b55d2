"""Folds of the log into tables: events and offsets in one transaction, replays, lag."""
