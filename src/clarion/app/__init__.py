"""The composition root: settings, wiring, roles."""
