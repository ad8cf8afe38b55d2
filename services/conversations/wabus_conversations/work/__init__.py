"""What people do with conversations: who has one, whether it is open, what it is tagged with. Pure."""
