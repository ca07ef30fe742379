"""Which pages are the API's own, and so may speak with the push service unless others are named."""

import pytest

from clarion.app.address import own_origins
from clarion.app.settings import load


@pytest.mark.parametrize(
    ("said", "origins"),
    [
        ({}, {"http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"}),
        (
            {"CLARION_SERVER_HOST": "192.0.2.7", "CLARION_SERVER_PORT": "80"},
            {"http://192.0.2.7:80", "http://192.0.2.7"},
        ),
        (
            {
                "CLARION_SERVER_HOST": "192.0.2.7",
                "CLARION_SERVER_PUBLIC_URL": "https://push.Example.com/some/path",
            },
            {"http://192.0.2.7:8080", "https://push.example.com"},
        ),
    ],
)
def test_own_pages_are_those_of_the_listener_and_of_the_public_url(
    said: dict[str, str], origins: set[str]
) -> None:
    """Nothing needs to be set for the sample site; nobody else is let in by that."""
    assert own_origins(load(said)) == origins
