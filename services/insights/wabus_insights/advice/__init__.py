"""Decides what an organisation is advised to do, and what that would save. Pure."""
