"""What WhatsApp Business means, for every service: templates, sending, persons, prices, errors of Graph. Pure."""
