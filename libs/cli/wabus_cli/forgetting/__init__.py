"""Forgetting an organisation, an account or a contact, and telling what is held of them."""
