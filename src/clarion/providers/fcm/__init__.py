"""Firebase Cloud Messaging, the HTTP v1 API."""
