"""Shards know whether their recipients are named, and why they wait."""

from clarion.adapters.state.migrations.files import run_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0004_shards_that_wait.sql")
