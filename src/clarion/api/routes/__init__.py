"""The table of routes: one file a resource."""

from typing import Final

from clarion.api.routes import (
    apps,
    audience,
    categories,
    consent,
    credentials,
    devices,
    dry_run,
    events,
    imports,
    keys,
    links,
    lists,
    messages,
    preferences,
    privacy,
    sdk,
    segments,
    suppressions,
    system,
    templates,
    topics,
    users,
)
from clarion.api.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *messages.ROUTES,
    *templates.ROUTES,
    *links.ROUTES,
    *dry_run.ROUTES,
    *devices.ROUTES,
    *users.ROUTES,
    *imports.ROUTES,
    *events.ROUTES,
    *lists.ROUTES,
    *topics.ROUTES,
    *audience.ROUTES,
    *segments.ROUTES,
    *credentials.ROUTES,
    *keys.ROUTES,
    *apps.ROUTES,
    *categories.ROUTES,
    *preferences.ROUTES,
    *consent.ROUTES,
    *suppressions.ROUTES,
    *privacy.ROUTES,
    *sdk.ROUTES,
    *system.ROUTES,
)
