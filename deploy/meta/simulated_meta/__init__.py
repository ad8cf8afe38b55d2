"""A simulated Meta: Graph API, OAuth dialog and webhook sender, with a control API for tests and people."""

from simulated_meta.app import create_app
from simulated_meta.seed import new_world
from simulated_meta.state import Store, World

__all__ = ["Store", "World", "create_app", "new_world"]
