"""How an event travels: the CloudEvents envelope, and old versions read as the newest. Pure."""
