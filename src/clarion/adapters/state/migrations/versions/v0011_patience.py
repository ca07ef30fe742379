"""The patience that a batch has spent."""

from clarion.adapters.state.migrations.files import run_file

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0011_patience.sql")
