"""Rows of what people do with conversations, of teams and rules, and of who is there."""
