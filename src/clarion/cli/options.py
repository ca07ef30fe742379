"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

ConfigFile = Annotated[
    Path | None,
    Parameter(
        name="--config",
        help="Settings file (TOML); else CLARION_CONFIG, else defaults.",
        negative=(),
    ),
]
ServerUrl = Annotated[
    str, Parameter(name="--url", env_var="CLARION_URL", help="Address of the running server.")
]
ApiKey = Annotated[
    str | None, Parameter(name="--key", env_var="CLARION_KEY", help="API key.", negative=())
]
AsJson = Annotated[
    bool, Parameter(name="--json", negative=(), help="Write one JSON document for a machine.")
]

DEFAULT_URL = "http://127.0.0.1:8080"
