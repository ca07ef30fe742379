"""Devices."""

from typing import Final

from clarion.api.routing import Route

ROUTES: Final[tuple[Route, ...]] = ()
