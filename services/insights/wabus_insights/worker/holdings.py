"""What the tables of insights hold of organisations, accounts and contacts."""

from wabus_runtime.identity.holdings import Holdings

HOLDINGS = Holdings(())
