"""The table of routes: one file a resource."""

from typing import Final

from clarion.api.routes import apps, credentials, devices, imports, keys, messages, system, users
from clarion.api.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *messages.ROUTES,
    *devices.ROUTES,
    *users.ROUTES,
    *imports.ROUTES,
    *credentials.ROUTES,
    *keys.ROUTES,
    *apps.ROUTES,
    *system.ROUTES,
)
