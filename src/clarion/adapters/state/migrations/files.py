"""Runs a numbered SQL file inside Alembic's transaction."""

from importlib import resources

from alembic import op
from sqlalchemy.engine import AdaptedConnection


def run_file(name: str) -> None:
    """Run all statements of a file in `clarion.adapters.state.migrations`.

    The dialect prepares every statement, and a prepared statement can't hold several commands;
    so the file goes to the driver as a script, in the transaction that is already open.
    """
    text = resources.files("clarion.adapters.state.migrations").joinpath(name).read_text("utf-8")
    bind = op.get_bind()
    bind.exec_driver_sql("select 1")  # the dialect opens the transaction with the first statement
    adapted: object = (
        bind.connection.dbapi_connection
    )  # declared as a DBAPI connection; asyncpg's is the adapter
    if not isinstance(adapted, AdaptedConnection):
        raise TypeError(f"migrations run over asyncpg, not over {type(adapted).__name__}")
    adapted.run_async(lambda driver: driver.execute(text))
