"""Caps, throttles, digests and decisions."""

from clarion.adapters.state.migrations.files import run_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0009_moment.sql")
