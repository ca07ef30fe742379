"""What of people, devices, lists and topics the columns hold."""

from collections.abc import Mapping
from typing import Final

CSV_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "users": {
        "id": "BIGINT",
        "app": "INTEGER",
        "bucket": "USMALLINT",
        "external_id": "VARCHAR",
        "opted_out": "BOOLEAN",
        "language": "VARCHAR",
        "time_zone": "VARCHAR",
        "country": "VARCHAR",
        "attributes": "VARCHAR",
        "created_at": "TIMESTAMPTZ",
        "granted": "UBIGINT",
        "denied": "UBIGINT",
        "daily": "UBIGINT",
        "weekly": "UBIGINT",
        "paused_until_us": "BIGINT",
        "quiet_hours": "VARCHAR",
        "suppressed": "BOOLEAN",
        "xid": "BIGINT",
    },
    "list_member": {
        "app": "INTEGER",
        "list_id": "BIGINT",
        "user_id": "BIGINT",
        "member": "BOOLEAN",
        "xid": "BIGINT",
    },
    "topic_member": {
        "app": "INTEGER",
        "topic": "VARCHAR",
        "user_id": "BIGINT",
        "member": "BOOLEAN",
        "xid": "BIGINT",
    },
    "device": {
        "id": "BIGINT",
        "app": "INTEGER",
        "bucket": "USMALLINT",
        "user_id": "BIGINT",
        "network": "UTINYINT",
        "environment": "UTINYINT",
        "dead": "BOOLEAN",
        "opted_out": "BOOLEAN",
        "token": "VARCHAR",
        "keys": "VARCHAR",
        "registered_us": "BIGINT",
        "last_active_at": "TIMESTAMPTZ",
        "platform": "VARCHAR",
        "os": "VARCHAR",
        "os_version": "VARCHAR",
        "model": "VARCHAR",
        "app_version": "VARCHAR",
        "language": "VARCHAR",
        "time_zone": "VARCHAR",
        "country": "VARCHAR",
        "latitude": "DOUBLE",
        "longitude": "DOUBLE",
        "attributes": "VARCHAR",
        "permission": "UTINYINT",
        "xid": "BIGINT",
    },
}
"""Table -> what `feed.sql` says of it, in order."""

_VARIANT: Final = "attributes::json::variant as attributes"
CHANGED: Final[Mapping[str, str]] = {
    "users": f"* exclude (xid) replace ({_VARIANT})",
    "device": f"* exclude (xid) replace (unhex(keys) as keys, {_VARIANT}), "
    "version_key(app_version) as app_version_key, version_key(os_version) as os_version_key",
}
"""Table -> what a page is made into."""
