"""Our own push service."""

from clarion.adapters.state.migrations.files import run_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0010_pushservice.sql")
