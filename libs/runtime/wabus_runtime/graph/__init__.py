"""Calls to Meta's Graph API, with patience and with limits."""
