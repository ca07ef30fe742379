"""Where a message may lead people."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.domain.link_rules import is_settled, refusal, start_refusal

FORBIDDEN = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "vbscript:msgbox(1)",
    "blob:https://shop.example/1",
    "about:blank",
    "view-source:https://shop.example/",
    "content://contacts/people/1",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "https://shop.example/\x85",
    "https://ann@shop.example/",
    "https://ann:secret@shop.example/",
    "https:\\\\ann@shop.example/",
    "//ann@shop.example/",
    "/\\ann@shop.example/",
    "https://shop.example\\@elsewhere.example/",
    "//shop.example\\@elsewhere.example/",
    "myapp://ann:secret@orders/1",
    "https:shop.example",
    "https://",
    "https:///orders",
    "http://shop.example/",
    "http://127.0.0.1.shop.example/",
    "http://localhost.shop.example/",
]
ALLOWED = [
    "",
    "https://shop.example",
    "HTTPS://shop.example:8443/a?b=c@d#e",
    "https://[2001:db8::1]/x",
    "http://localhost:3000/",
    "http://app.localhost/",
    "http://127.0.0.1:8080/x",
    "http://[::1]/",
    "http://wiki.lan:8080/page",
    "/orders/1",
    "orders/1?a=b:c",
    "?tab=2",
    "//shop.example/x",
]
LINKS_ONLY = ["myapp://orders/1", "myapp:orders", "mailto:ann@shop.example", "tel:+49301234"]
HTTP_HOSTS = frozenset({"wiki.lan"})


@pytest.mark.parametrize("text", FORBIDDEN)
@pytest.mark.parametrize("picture", [False, True])
def test_a_dangerous_address_is_refused(text: str, *, picture: bool) -> None:
    """Whatever field it stands in, and however it is written."""
    assert refusal(text, HTTP_HOSTS, picture=picture) is not None


@pytest.mark.parametrize("text", ALLOWED)
@pytest.mark.parametrize("picture", [False, True])
def test_web_addresses_and_relative_ones_may_be_used(text: str, *, picture: bool) -> None:
    """Plain HTTP on the device itself and where the operator says so."""
    assert refusal(text, HTTP_HOSTS, picture=picture) is None


@pytest.mark.parametrize("text", LINKS_ONLY)
def test_an_apps_own_scheme_may_be_followed_but_no_picture_is_loaded_by_it(text: str) -> None:
    """Deep links are what links are for."""
    assert refusal(text) is None
    assert refusal(text, picture=True) is not None


@given(
    start=st.one_of(
        st.sampled_from([*FORBIDDEN, *ALLOWED, *LINKS_ONLY]),
        st.text(alphabet="ahtps:/\\?#@.x ", max_size=12),
    ),
    cut=st.integers(0, 40),
    values=st.lists(st.text(max_size=8), min_size=1, max_size=2),
    between=st.sampled_from(["", "/", "@x/", ":", "?q="]),
    picture=st.booleans(),
)
@example(start="https://shop.example/\x85", cut=40, values=[""], between="", picture=False)
def test_an_address_that_began_well_ends_well(
    start: str, cut: int, values: list[str], between: str, *, picture: bool
) -> None:
    """What is judged by its beginning is judged as the whole would be, whatever values follow."""
    begun = start[:cut]
    whole = begun + between.join(quote(value, safe="") for value in values)
    if is_settled(begun) and start_refusal(begun, picture=picture) is None:
        assert refusal(whole.strip(" "), picture=picture) is None
    elif start_refusal(begun, picture=picture) is not None and begun.rstrip() == begun:
        assert refusal(whole, picture=picture) is not None
