"""Segments, lists, topics and the inbox of events."""

from clarion.adapters.state.migrations.files import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0007_audience.sql")
