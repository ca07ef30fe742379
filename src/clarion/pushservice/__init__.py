"""Our own push service (RFC 8030). It is not built yet."""
