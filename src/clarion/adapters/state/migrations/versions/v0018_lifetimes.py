"""Keys know their lifetime; what is planned for a range of people is indexed."""

from clarion.adapters.state.migrations.files import run_file

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0018_lifetimes.sql")
