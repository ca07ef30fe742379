"""Categories, consent, preferences, permission, suppression and erasure."""

from clarion.adapters.state.migrations.files import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file."""
    run_file("0006_consent.sql")
