"""Problem documents."""

import json

from hypothesis import given
from hypothesis import strategies as st

from clarion.wire.problem import FieldProblem, Problem, pointer


def test_document_has_the_members_of_rfc_9457_and_ours() -> None:
    """Section 3.1 of RFC 9457, then code, request id and the fields at fault."""
    problem = Problem(
        status=422,
        title="The request is not valid.",
        code="invalid_request",
        type="https://clarion.example/problems/invalid_request",
        detail="Two members are wrong.",
        instance="/v1/messages",
        request_id="req_1",
        errors=(FieldProblem(path="/a~1b/0", code="too_long", detail="At most 10 characters."),),
    )
    assert json.loads(problem.encode()) == {
        "type": "https://clarion.example/problems/invalid_request",
        "title": "The request is not valid.",
        "status": 422,
        "detail": "Two members are wrong.",
        "instance": "/v1/messages",
        "code": "invalid_request",
        "request_id": "req_1",
        "errors": [{"path": "/a~1b/0", "code": "too_long", "detail": "At most 10 characters."}],
    }


def test_absent_members_are_left_out() -> None:
    """No nulls; the type is about:blank when there is no other."""
    assert Problem(status=404, title="Not found", code="not_found").encode() == (
        b'{"type":"about:blank","title":"Not found","status":404,"code":"not_found"}'
    )


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_makes_valid_json_in_unicode(text: str) -> None:
    """Control characters are escaped, lone surrogates replaced (RFC 7493 section 2.1)."""
    encoded = Problem(status=400, title="Bad", code="bad", detail=text).encode()
    detail = json.loads(encoded)["detail"]
    detail.encode("utf-8")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        assert "\ufffd" in detail
    else:
        assert detail == text


def test_pointer_escapes_tilde_and_slash() -> None:
    """RFC 6901 section 3; the empty pointer is the whole document."""
    assert pointer() == ""
    assert pointer("a/b", 0, "m~n", "") == "/a~1b/0/m~0n/"
