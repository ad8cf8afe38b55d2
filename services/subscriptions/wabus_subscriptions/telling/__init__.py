"""What is told, to whom, how it is signed, and when telling stops. Pure."""
