"""Judges each organisation's connection: events become `webhook_health` and what is behind it, and a verdict."""
