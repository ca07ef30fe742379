"""DuckDB in one owner process; everybody else asks it over a local socket."""

from typing import TYPE_CHECKING

from clarion.adapters.facts.duckdb.settings import FactsKept, OwnerSettings

if TYPE_CHECKING:
    from clarion.adapters.facts.duckdb.client import FactsClient
    from clarion.adapters.facts.duckdb.owner import run_owner

__all__ = ["FactsClient", "FactsKept", "OwnerSettings", "run_owner"]


def __getattr__(name: str) -> object:
    """Import what is asked for: an asker has no use for 60 MiB of engine, nor the owner for Polars.

    PEP 562.
    """
    if name == "FactsClient":
        from clarion.adapters.facts.duckdb.client import FactsClient  # noqa: PLC0415  # see above

        return FactsClient
    if name == "run_owner":
        from clarion.adapters.facts.duckdb.owner import run_owner  # noqa: PLC0415  # see above

        return run_owner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
