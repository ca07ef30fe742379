"""Delivery networks: one folder each, always client, payload, errors and simulator."""
