"""Names that were erased while they were on a suppression list are known again by a keyed hash."""

from clarion.adapters.state.migrations.files import run_file

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0016_erased_names.sql")
