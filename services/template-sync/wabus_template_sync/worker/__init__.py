"""What acts: syncs with Graph, what follows from webhooks, and when an account is due."""
