"""What is in the topic of conversations: what people do with them, and by which rules they are given to people."""
