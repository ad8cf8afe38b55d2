"""Message templates: how Meta writes them, what their parts are, filled in, and which word about one stands. Pure."""
