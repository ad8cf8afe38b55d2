"""The gateway: Meta's webhooks, verified and in Kafka before they are answered; accounts connected."""
