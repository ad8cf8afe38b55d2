"""SQL: templates, their versions, syncs."""
