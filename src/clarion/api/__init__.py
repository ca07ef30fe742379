"""The public JSON API: translates between HTTP and the ports, and decides nothing itself."""

from clarion.api.dependencies import ApiDependencies, ApiLimits
from clarion.api.server import create_app

__all__ = ["ApiDependencies", "ApiLimits", "create_app"]
