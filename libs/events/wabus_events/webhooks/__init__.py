"""What each field of Meta's webhooks becomes. Pure: for the gateway, and for readers of an `Unrecognised` of before."""
