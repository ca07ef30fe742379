"""Steps of asking that people without a device took."""

from clarion.adapters.state.migrations.files import run_file

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0014_visitors.sql")
