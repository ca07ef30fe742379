"""One module a version, for Alembic; the SQL is in the numbered files one folder up."""
