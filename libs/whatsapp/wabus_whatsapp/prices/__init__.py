"""What Meta charges for messages: markets, rate cards, dated price rules, and what one message costs. Pure."""
