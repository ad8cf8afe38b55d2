"""Rows in PostgreSQL: SQL, and nothing but SQL."""
