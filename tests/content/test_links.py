"""Links: campaign parameters, and redirects that lead nowhere but where we sent."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.content import Utm
from clarion.domain.ids import AppId, DeviceId, MessageId
from clarion.stages.authoring.links import (
    PATH,
    Click,
    opened,
    tracked,
    tracked_column,
    with_utm,
)

KEYS = {1: b"k" * 32, 2: b"l" * 32}
BASE = "https://push.example"
CLICK = Click(
    app=AppId(3),
    message=MessageId("m-1"),
    device=DeviceId(7),
    place=0,
    target="https://x.org/é?a=1#f",
)
UTM = Utm(source="clarion", campaign="spring sale")
ADDED = "utm_source=clarion&utm_campaign=spring%20sale"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://x.org", f"https://x.org/?{ADDED}"),
        ("https://x.org/a", f"https://x.org/a?{ADDED}"),
        ("https://x.org/a?b=1&c", f"https://x.org/a?b=1&c&{ADDED}"),
        ("https://x.org/a?", f"https://x.org/a?{ADDED}"),
        ("https://x.org/a?b=1&", f"https://x.org/a?b=1&{ADDED}"),
        ("https://x.org/#/route?x=1", f"https://x.org/?{ADDED}#/route?x=1"),
        ("https://x.org#top", f"https://x.org/?{ADDED}#top"),
        ("https://x.org/?q=%C3%A9+a%2Fb", f"https://x.org/?q=%C3%A9+a%2Fb&{ADDED}"),
        (
            "https://x.org/?utm_source=own",
            "https://x.org/?utm_source=own&utm_campaign=spring%20sale",
        ),
        ("HTTP://x.org/", f"HTTP://x.org/?{ADDED}"),
        ("myapp://open/item?id=1", "myapp://open/item?id=1"),
        ("mailto:a@b.c?subject=x", "mailto:a@b.c?subject=x"),
        ("/relative", "/relative"),
        ("", ""),
    ],
)
def test_campaign_parameters_join_the_query(link: str, expected: str) -> None:
    """In front of the fragment, behind what is there, and only in web links."""
    assert with_utm(link, UTM) == expected
    assert with_utm(expected, UTM) == expected


@given(st.text(max_size=40), st.integers(0, 255), st.integers(-(2**63), 2**63 - 1))
def test_a_redirect_tells_what_it_was_made_of(path: str, place: int, device: int) -> None:
    """Whatever the address, with keys old and new."""
    path = path.encode("utf-8", "replace").decode()
    click = Click(
        app=AppId(2**31 - 1),
        message=MessageId("0192-m"),
        device=DeviceId(abs(device) % 2**63),
        place=place,
        target="http://x.org/" + path,
    )
    for keys in ({1: KEYS[1]}, KEYS):
        link = tracked(BASE, keys, click)
        assert link.startswith(BASE + PATH)
        assert opened(link.removeprefix(BASE + PATH), KEYS) == click


def test_a_redirect_that_was_changed_anywhere_is_refused() -> None:
    """No open redirect: each single bit is under the MAC."""
    token = tracked(BASE, KEYS, CLICK).removeprefix(BASE + PATH)
    octets = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for at in range(len(octets) * 8):
        changed = bytearray(octets)
        changed[at // 8] ^= 1 << at % 8
        assert opened(base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), KEYS) is None


@pytest.mark.parametrize(
    "token", ["", "A", "AA", "a" * 5000, "../x", "%41", "é", "AQIAAA", "=" * 8]
)
def test_what_is_not_a_token_is_refused(token: str) -> None:
    """Whatever people type behind the route."""
    assert opened(token, KEYS) is None


def test_a_retired_key_opens_nothing() -> None:
    """Links signed with a key that leaked are dead once it is gone."""
    token = tracked(BASE, KEYS, CLICK).removeprefix(BASE + PATH)
    assert opened(token, {1: KEYS[1]}) is None


def test_deep_links_are_not_tracked() -> None:
    """A redirect would open a browser where the app should open."""
    links = tracked_column(
        BASE,
        KEYS,
        (CLICK.app, CLICK.message, 0),
        np.asarray([1, 2]),
        ["myapp://a", "https://x.org/"],
    )
    assert links[0] == "myapp://a"
    assert links[1].startswith(BASE + PATH)


def test_a_weak_key_signs_nothing() -> None:
    """A guessable key would be an open redirect."""
    for keys in ({}, {1: b"short"}):
        with pytest.raises(ValueError, match="32 octets"):
            tracked(BASE, keys, CLICK)
