"""Folds what people do with conversations, and lets rules give conversations to them."""
