"""`wabus rates`: what Meta charges, put into the log by people."""

from wabus_insights.commands.rate_cards import rates

__all__ = ["rates"]
