"""Events as signed webhooks to others: kept in a table until delivered, tried again, in order for an organisation."""
