"""Finished batches are found without reading the others."""

from clarion.adapters.state.migrations.files import run_file

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0003_done_batches.sql")
