"""What media are, pure: what a message tells of one, when to fetch it, what it is by its content, how it is served."""
