"""Web Push (RFC 8030, 8291, 8292): every browser's service and any UnifiedPush host."""
