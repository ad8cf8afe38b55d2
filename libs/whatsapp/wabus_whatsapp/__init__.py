"""What WhatsApp Business means, for every service: templates, and what Graph's errors say. Pure."""
