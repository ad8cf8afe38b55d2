"""What the events say of an account's health, and the verdict. Pure."""
