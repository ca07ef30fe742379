"""Users and devices are checked by registrations, not row by row by foreign keys."""

from clarion.adapters.state.migrations.files import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0002_registry_foreign_keys.sql")
