"""The table of routes: one file a resource."""

from typing import Final

from clarion.api.routes import (
    apps,
    categories,
    credentials,
    devices,
    events,
    imports,
    keys,
    lists,
    messages,
    preferences,
    sdk,
    system,
    topics,
    users,
)
from clarion.api.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *messages.ROUTES,
    *devices.ROUTES,
    *users.ROUTES,
    *imports.ROUTES,
    *events.ROUTES,
    *lists.ROUTES,
    *topics.ROUTES,
    *credentials.ROUTES,
    *keys.ROUTES,
    *apps.ROUTES,
    *categories.ROUTES,
    *preferences.ROUTES,
    *sdk.ROUTES,
    *system.ROUTES,
)
