"""Receipts of our own messages are read."""

from clarion.adapters.state.migrations.files import run_file

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0013_push_feedback.sql")
