"""What the field knows about sending: Meta's errors, the shape of a message, the parameters of a template."""
