"""What is in the topic of messages: the messages themselves, their media, and what is said of those who write."""
