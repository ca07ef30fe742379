"""RFC 8030 section 5, the sender's side of a push message request: each rule of its fields."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import push_headers
from clarion.wire.push_headers import (
    Preferences,
    PushFields,
    PushHeaderError,
    Urgency,
)

NOW = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
TOPICS = st.text("abcXYZ019-_", min_size=1, max_size=32)


def test_request_without_ttl_is_refused() -> None:
    """Section 5.2: an application server MUST include TTL; a service MUST answer 400 if not."""
    with pytest.raises(PushHeaderError, match="TTL is missing") as caught:
        PushFields.parse({"urgency": "low"})
    assert caught.value.field == "ttl"


def test_request_that_we_write_always_has_a_ttl() -> None:
    """Section 5.2: an application server MUST include TTL."""
    assert PushFields(ttl=0).to_fields() == [("ttl", "0")]


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", "1e3", "٣", "1 2", "0x10", "1,2", "\n1"])
def test_ttl_is_digits_only(value: str) -> None:
    """Section 5.2: TTL = 1*DIGIT."""
    with pytest.raises(PushHeaderError, match="not a number of seconds"):
        push_headers.parse_ttl(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("00015", 15), (" 15\t", 15), ("2147483647", 2**31 - 1), ("2147483648", 2**31)],
)
def test_ttl_has_at_least_31_bits_of_range(value: str, seconds: int) -> None:
    """Section 5.2: a recipient MUST use an arithmetic type of at least 31 bits of range."""
    assert push_headers.parse_ttl(value) == seconds


@pytest.mark.parametrize("value", ["2147483649", "9" * 20, "9" * 5000])
def test_ttl_that_overflows_counts_as_2_to_the_31(value: str) -> None:
    """Section 5.2: a greater value MUST be considered to be 2147483648."""
    assert push_headers.parse_ttl(value) == 2**31


def test_ttl_that_we_write_is_never_negative_nor_above_2_to_the_31() -> None:
    """Section 5.2: what every service can read."""
    assert push_headers.format_ttl(2**40) == "2147483648"
    with pytest.raises(PushHeaderError, match="not possible"):
        push_headers.format_ttl(-1)


def test_urgency_defaults_to_normal() -> None:
    """Section 5.3: a push message without Urgency defaults to normal."""
    assert PushFields.parse({"ttl": "1"}).urgency is Urgency.NORMAL


@pytest.mark.parametrize("urgency", Urgency)
def test_each_urgency_is_read_in_any_case(urgency: Urgency) -> None:
    """Section 5.3: the four options; ABNF strings are case-insensitive (RFC 5234 2.3)."""
    assert push_headers.parse_urgency(urgency.value.upper()) is urgency


@pytest.mark.parametrize("value", ["low,high", "normal, normal", "low,"])
def test_several_urgencies_are_refused(value: str) -> None:
    """Section 5.3: multiple values MUST NOT be included; the service MUST answer 400."""
    with pytest.raises(PushHeaderError, match="several values"):
        push_headers.parse_urgency(value)


@pytest.mark.parametrize("value", ["", "urgent", "very_low", "high high"])
def test_unknown_urgency_is_refused(value: str) -> None:
    """Section 5.3: urgency-option is one of four."""
    with pytest.raises(PushHeaderError, match="none of"):
        push_headers.parse_urgency(value)


def test_message_less_urgent_than_asked_for_is_not_delivered() -> None:
    """Section 5.3: a service MUST NOT deliver messages of lower urgency than the user agent's."""
    order = [Urgency.VERY_LOW, Urgency.LOW, Urgency.NORMAL, Urgency.HIGH]
    for place, urgency in enumerate(order):
        assert [urgency.at_least(floor) for floor in order] == [
            floor <= place for floor in range(4)
        ]


@pytest.mark.parametrize("value", ["", "a" * 33, "a b", "a/b", "a+b", "a=", "é", "a,b"])
def test_topic_has_at_most_32_characters_of_base64url(value: str) -> None:
    """Section 5.4: Topic MUST be restricted so; a service MUST answer 400 otherwise."""
    with pytest.raises(PushHeaderError, match="Topic"):
        push_headers.parse_topic(value)


@given(TOPICS)
def test_collapse_id_that_can_be_a_topic_is_the_topic(collapse_id: str) -> None:
    """A short, plain id reaches the push service as it is."""
    assert push_headers.topic_for(collapse_id) == collapse_id


@given(st.text(st.characters(exclude_categories=[]), max_size=80))
def test_every_collapse_id_has_one_valid_topic(collapse_id: str) -> None:
    """Section 5.4: any id at all, deterministically, becomes what a service accepts."""
    topic = push_headers.topic_for(collapse_id)
    assert push_headers.parse_topic(topic) == topic
    assert push_headers.topic_for(collapse_id) == topic


def test_hash_of_a_long_collapse_id_never_changes() -> None:
    """A release that hashed otherwise would stop replacing what the last one sent."""
    assert push_headers.topic_for("order/2026/0001") == "1v7qNWmBvbOPzoqZo6nKMBBw_tF83fq7"


@given(
    ttl=st.integers(0, 2**31),
    urgency=st.sampled_from(Urgency),
    topic=st.none() | TOPICS,
    respond_async=st.booleans(),
)
def test_fields_make_the_round_trip(
    ttl: int, urgency: Urgency, topic: str | None, *, respond_async: bool
) -> None:
    """What an application server writes, a push service reads."""
    fields = PushFields(ttl=ttl, urgency=urgency, topic=topic, respond_async=respond_async)
    assert PushFields.parse(dict(fields.to_fields())) == fields


def test_topic_that_breaks_the_rule_is_never_written() -> None:
    """Section 5.4: an application server finds out before the service does."""
    with pytest.raises(PushHeaderError, match="Topic"):
        PushFields(ttl=1, topic="no good").to_fields()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Preferences()),
        ("", Preferences()),
        ("respond-async", Preferences(respond_async=True)),
        ("Respond-Async", Preferences(respond_async=True)),
        ("respond-async, wait=10", Preferences(respond_async=True, wait=10)),
        ('wait="0"', Preferences(wait=0)),
        ("wait=0,wait=5", Preferences(wait=0)),
        ('foo; bar="a,b;c", respond-async; x', Preferences(respond_async=True)),
        ("handling=lenient", Preferences()),
        ("wait", Preferences()),
        ("wait=soon, respond-async", Preferences(respond_async=True)),
    ],
)
def test_receipt_is_asked_for_with_prefer(value: str | None, expected: Preferences) -> None:
    """Section 5.1, RFC 7240 section 2: in any case, the first wins, nonsense is ignored."""
    assert push_headers.parse_prefer(value) == expected


@pytest.mark.parametrize("value", ["=1", 'a="', "a b"])
def test_malformed_preferences_are_refused(value: str) -> None:
    """RFC 7240 section 2: the grammar."""
    with pytest.raises(PushHeaderError) as caught:
        push_headers.parse_prefer(value)
    assert caught.value.field == "prefer"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (None, None),
        ('</r/3ZtI>; rel="urn:ietf:params:push:receipt"', "/r/3ZtI"),
        ('</p/1>; rel="urn:ietf:params:push", </r/2>;rel=urn:ietf:params:push:receipt', "/r/2"),
        ('<https://a/r>; title="x, y"; rel="next urn:ietf:params:push:receipt"', "https://a/r"),
        ('</p/1>; rel="urn:ietf:params:push"', None),
        ("nonsense", None),
    ],
)
def test_receipt_subscription_is_found_in_the_link_field(
    link: str | None, expected: str | None
) -> None:
    """Section 5.1: the 202 carries the receipt subscription in a link relation."""
    assert push_headers.receipt_subscription(link) == expected


@pytest.mark.parametrize("value", ["aes128gcm", "AES128GCM", " aes128gcm "])
def test_one_aes128gcm_is_accepted(value: str) -> None:
    """RFC 8291 section 4: exactly one value; codings are case-insensitive (RFC 9110 8.4.1)."""
    push_headers.check_content_encoding(value)


@pytest.mark.parametrize(
    "value", [None, "", "aesgcm", "gzip", "aes128gcm, aes128gcm", "gzip, aes128gcm"]
)
def test_any_other_content_encoding_is_refused(value: str | None) -> None:
    """RFC 8291 section 4: an application server MUST NOT use other content encodings."""
    with pytest.raises(PushHeaderError, match="aes128gcm"):
        push_headers.check_content_encoding(value)


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
        "60",
        " 060 ",
    ],
)
def test_retry_after_is_seconds_or_any_http_date(value: str) -> None:
    """RFC 9110 sections 10.2.3 and 5.6.7: three forms of date MUST be accepted."""
    assert push_headers.parse_retry_after(value, NOW) == timedelta(seconds=60)


def test_retry_after_in_the_past_means_no_wait() -> None:
    """A slow answer does not make a negative wait."""
    late = NOW + timedelta(days=1)
    assert push_headers.parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", late) == timedelta(0)


def test_retry_after_too_large_to_be_meant_is_bounded() -> None:
    """A number of any length is a wait, never an overflow."""
    assert push_headers.parse_retry_after("9" * 400, NOW) == timedelta(seconds=2**31)


@pytest.mark.parametrize(
    "value",
    ["", "-1", "1.5", "soon", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
     "Sun, 06 Nov 1994 08:49:37 CET", "1994-11-06T08:49:37Z"],
)  # fmt: skip
def test_retry_after_of_another_form_is_refused(value: str) -> None:
    """The caller decides what to do without one; nothing is guessed here."""
    with pytest.raises(PushHeaderError):
        push_headers.parse_retry_after(value, NOW)


def test_two_digit_year_is_at_most_50_years_ahead() -> None:
    """RFC 9110 section 5.6.7: more than 50 years in the future MUST be read as the past."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for digits, year in (("76", 2076), ("77", 1977), ("26", 2026)):
        found = push_headers.parse_http_date(f"Sunday, 06-Nov-{digits} 08:49:37 GMT", now)
        assert found.year == year


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  the strategy takes naive bounds
def test_http_date_makes_the_round_trip(when: datetime) -> None:
    """To the second."""
    text = push_headers.format_http_date(when)
    assert push_headers.parse_http_date(text, NOW) == when.replace(microsecond=0)
