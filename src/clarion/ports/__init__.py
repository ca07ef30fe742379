"""What we need from the world: protocols and their errors, no code."""
