"""Media in tables: what is wanted, what is stored, what has to be deleted from the store."""
