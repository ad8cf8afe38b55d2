"""Kafka: how clients reach it, publishing, transactions, dead letters."""
