"""What happened once has one id, whoever tells it."""

from datetime import timedelta

from clarion.domain.event import day_of, once

MESSAGE = "01996c7e-5000-7000-8000-000000000007"
MADE_US = 1_758_461_841_408_000
TOKEN = "https://push.example.net/a"
DAY_US = timedelta(days=1) // timedelta(microseconds=1)


def test_the_id_is_the_one_that_the_web_sdk_makes() -> None:
    """The same vector is in web/sdk/test/pure.test.ts."""
    assert once(MESSAGE, "received", TOKEN, MADE_US + 5_000) == (
        "01996c7e-5000-7c03-81ef-4abcf2ff6c7a"
    )
    assert once(MESSAGE, "received", TOKEN, MADE_US + 8 * DAY_US) == (
        "019992c4-e000-7c03-81ef-4abcf2ff6c7a"
    )


def test_it_is_another_for_another_thing_device_or_message() -> None:
    """And the day on which it is remembered is that of the message."""
    first = once(MESSAGE, "received", TOKEN, MADE_US)
    assert day_of(first) == MADE_US // DAY_US
    others = {
        once(MESSAGE, "undelivered", TOKEN, MADE_US),
        once(MESSAGE, "received", TOKEN + "b", MADE_US),
        once(MESSAGE.replace("7e", "7f"), "received", TOKEN, MADE_US),
    }
    assert len(others | {first}) == 4


def test_messages_of_other_ids_are_remembered_by_the_day() -> None:
    """An id that says nothing of its time."""
    made = once("0b6c7b8e-0000-4000-8000-000000000000", "received", TOKEN, MADE_US)
    assert day_of(made) == MADE_US // DAY_US
    assert made == once("0b6c7b8e-0000-4000-8000-000000000000", "received", TOKEN, MADE_US + 9)
