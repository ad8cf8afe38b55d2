"""A simulated Meta: Graph API, OAuth dialog and webhook sender, with a control API for tests and people."""

from wabus_local.meta.app import create_app
from wabus_local.meta.seed import new_world
from wabus_local.meta.state import Store, World

__all__ = ["Store", "World", "create_app", "new_world"]
