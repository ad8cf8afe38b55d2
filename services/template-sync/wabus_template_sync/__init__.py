"""Keeps each WABA's message templates in step with Meta, and answers what they are."""
