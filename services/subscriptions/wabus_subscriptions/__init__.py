"""Subscriptions: events as signed webhooks, for platforms that have no Kafka."""
