"""How it looks as bytes: protocols without I/O."""
