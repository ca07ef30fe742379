"""Apple Push Notification service, the HTTP/2 provider API."""
