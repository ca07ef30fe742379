"""What is over is found by its age."""

from clarion.adapters.state.migrations.files import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0005_retention.sql")
