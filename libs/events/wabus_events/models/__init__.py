"""What happened: one module a topic, a folder where a topic has several, and what they are made of. Pure."""
