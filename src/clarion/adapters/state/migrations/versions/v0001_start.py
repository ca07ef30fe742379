"""The first schema."""

from clarion.adapters.state.migrations.files import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0001_start.sql")
