"""SQL of what messages cost."""
