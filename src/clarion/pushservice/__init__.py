"""Our own push service: RFC 8030 for senders; the browser's protocol and streams for devices."""
