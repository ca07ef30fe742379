"""Countries that have one clock, from the tables of the time zone database."""

from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def zones_of_countries() -> MappingProxyType[str, str]:
    """ISO 3166-1 code -> time zone, for the countries all of whose zones go by the same rules.

    `zone.tab` names a country's zones, and the last line of a zone's file (RFC 8536, section 3.3)
    has the rules that it goes by from now on: Berlin's are Büsingen's.
    """
    folder = files("tzdata.zoneinfo")
    found: dict[str, list[str]] = {}
    for line in folder.joinpath("zone.tab").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            found.setdefault(country, []).append(zone)

    def rules(zone: str) -> bytes:
        return folder.joinpath(*zone.split("/")).read_bytes().rstrip(b"\n").rpartition(b"\n")[2]

    return MappingProxyType(
        {
            country: zones[0]
            for country, zones in found.items()
            if len({rules(zone) for zone in zones}) == 1
        }
    )
