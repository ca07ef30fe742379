"""State on PostgreSQL: its SQL, its migrations, and the launcher of the embedded server."""
