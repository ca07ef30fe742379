"""One person under several numbers; erased names on suppression lists."""

from clarion.adapters.state.migrations.files import run_file

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0015_people.sql")
