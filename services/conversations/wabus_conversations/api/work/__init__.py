"""What people do with conversations, by HTTP; teams and rules."""
