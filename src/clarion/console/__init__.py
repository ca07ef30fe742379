"""The dashboard: a client of the public API, nothing more. It is not built yet."""
