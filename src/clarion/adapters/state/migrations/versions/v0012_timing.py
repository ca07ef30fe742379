"""Rates on the wire, parts that come back, versions of segments."""

from clarion.adapters.state.migrations.files import run_file

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0012_timing.sql")
