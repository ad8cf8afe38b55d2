"""What happened: one module a topic, and what they are made of. Pure."""
