"""What events mean for conversations: whose a message is, what became of it, what a thread shows. Pure."""
