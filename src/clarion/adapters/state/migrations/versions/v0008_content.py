"""Templates, their versions and partials."""

from clarion.adapters.state.migrations.files import run_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0008_content.sql")
