"""Pages for the people who get messages, in their own language. Server-made HTML, no script."""
