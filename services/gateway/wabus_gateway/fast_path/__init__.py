"""The short cut for plain webhooks with a single fact: the same result as the long way, at less cost."""
