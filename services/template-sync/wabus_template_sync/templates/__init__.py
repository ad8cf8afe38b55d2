"""What the events say of an account's templates and syncs, and what is to be told. Pure."""
