"""Whose account was it when: the connections of all accounts, in memory."""
