"""A kept hash of an erased name says whose key made it; a device's step has an id."""

from clarion.adapters.state.migrations.files import run_file

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0017_keys_of_names.sql")
