"""Kafka in, webhooks out."""
