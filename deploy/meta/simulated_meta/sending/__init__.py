"""What becomes of a message that is sent: checked, limited, written into the ledger, told by status webhooks."""
