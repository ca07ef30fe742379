"""The batch HTTP/2 client core: sans-I/O, columns in, columns out (RFC 9113, RFC 7541)."""

from clarion.wire.http2.batch import Answer, Batch, Failure, HeaderSet
from clarion.wire.http2.connection import Connection, Ending, GoAway
from clarion.wire.http2.errors import Cause, ErrorCode
from clarion.wire.http2.field_encoding import Field, literal_field
from clarion.wire.http2.settings import LocalSettings
from clarion.wire.http2.states import State

__all__ = [
    "Answer",
    "Batch",
    "Cause",
    "Connection",
    "Ending",
    "ErrorCode",
    "Failure",
    "Field",
    "GoAway",
    "HeaderSet",
    "LocalSettings",
    "State",
    "literal_field",
]
