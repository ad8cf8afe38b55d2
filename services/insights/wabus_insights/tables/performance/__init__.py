"""SQL of what messages achieve."""
