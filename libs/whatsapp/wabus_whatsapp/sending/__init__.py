"""What the field knows about sending: how a message and its parameters look, errors, and what may not send."""
