"""What a webhook says: is it Meta's, and which events is it? Pure."""
