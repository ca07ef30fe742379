"""The generated pages of docs/reference say what the code says; `make docs` writes them."""

from pathlib import Path

from clarion.api.openapi import document
from clarion.api.page import errors_reference
from clarion.api.routes import ROUTES
from clarion.app.settings import reference_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_openapi_document_is_in_sync() -> None:
    """What the server answers at /openapi.json."""
    assert (REFERENCE / "openapi.json").read_bytes() == document(ROUTES) + b"\n"


def test_the_page_of_settings_is_in_sync() -> None:
    """Every setting with its default and its sentence."""
    assert (REFERENCE / "settings.md").read_text() == reference_page()


def test_the_page_of_errors_is_in_sync() -> None:
    """Every code with its status and meaning."""
    assert (REFERENCE / "errors.md").read_text() == errors_reference()
