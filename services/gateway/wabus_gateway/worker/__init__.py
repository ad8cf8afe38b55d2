"""What acts: publishing a webhook's events, connecting an account at Meta."""
