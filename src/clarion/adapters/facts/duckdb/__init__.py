"""DuckDB in one owner process; everybody else asks it over a local socket."""

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.facts.duckdb.owner import OwnerSettings, run_owner

__all__ = ["FactsClient", "OwnerSettings", "run_owner"]
