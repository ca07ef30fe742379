"""Windows as they are written, and what is refused with its place."""

import pytest

from clarion.domain.quiet_windows import (
    QuietAction,
    QuietHoursError,
    Window,
    quiet_hours_from,
    quiet_hours_json,
    windows_of_person,
)


def test_quiet_hours_come_back_from_their_json() -> None:
    """Overnight, by weekday, and a whole day."""
    value = {
        "windows": [
            {"days": ["mon", "sun"], "from": "22:00", "to": "07:30"},
            {"days": ["sat"], "from": "00:00", "to": "24:00"},
        ],
        "action": "drop",
    }
    quiet = quiet_hours_from(value)
    assert quiet.action is QuietAction.DROP
    assert quiet.windows[0] == Window(days=0b100_0001, start_min=1320, end_min=450)
    assert quiet.windows[1].minutes == 1440
    assert quiet_hours_json(quiet) == value


def test_until_midnight_is_written_either_way() -> None:
    """`00:00` as an end is the end of the day."""
    window = windows_of_person('[{"from":"22:00","to":"00:00"}]')[0]
    assert window == Window(days=127, start_min=1320, end_min=1440)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ""),
        ({"windows": {}}, "/windows"),
        ({"windows": [], "actoin": "hold"}, "/actoin"),
        ({"windows": [], "action": "wait"}, "/action"),
        ({"windows": [{"from": "22:00"}]}, "/windows/0/to"),
        ({"windows": [{"from": "22:00", "to": "22:00"}]}, "/windows/0/to"),
        ({"windows": [{"from": "24:00", "to": "22:00"}]}, "/windows/0/from"),
        ({"windows": [{"from": "9:00", "to": "10:00"}]}, "/windows/0/from"),
        ({"windows": [{"from": "09:00", "to": "10:00", "days": []}]}, "/windows/0/days"),
        ({"windows": [{"from": "09:00", "to": "10:00", "days": ["mo"]}]}, "/windows/0/days/0"),
        ({"windows": [{"from": "09:00", "to": "10:00", "zone": "UTC"}]}, "/windows/0/zone"),
        ({"windows": [{"from": "00:00", "to": "24:00"}]}, "/windows"),
        (
            {"windows": [{"from": "12:00", "to": "08:00"}, {"from": "07:00", "to": "13:00"}]},
            "/windows",
        ),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(value: object, path: str) -> None:
    """Windows that cover the whole week among them: they would never open."""
    with pytest.raises(QuietHoursError) as refused:
        quiet_hours_from(value)
    assert refused.value.path == path


def test_a_persons_text_that_is_not_json_is_an_error() -> None:
    """Nobody's quiet hours are silently forgotten."""
    with pytest.raises(QuietHoursError):
        windows_of_person("22-07")
