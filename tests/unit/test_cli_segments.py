"""What `clarion segments`, `dry-run` and `replay` read of files and make of answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest
from typing_extensions import override

from clarion.cli.entry import run
from clarion.cli.exits import CommandError, Exit
from clarion.cli.replay import read_policy


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", {}),
        ("caps: null", {"caps": None}),
        ("caps: []", {"caps": []}),
        (
            "quiet_hours: {windows: [{from: 22:00, to: 07:00}]}",
            {"quiet_hours": {"windows": [{"from": "22:00", "to": "07:00"}]}},
        ),
        (
            "when: {date: 2026-01-02, time: 09:30}",
            {"when": {"date": "2026-01-02", "time": "09:30"}},
        ),
        (
            "priority: 7\ntakes_places: false\nx: yes\ny: 1.5",
            {"priority": 7, "takes_places": False, "x": "yes", "y": 1.5},
        ),
        ('{"caps": [{"count": 3, "per": "7d"}]}', {"caps": [{"count": 3, "per": "7d"}]}),
    ],
)
def test_rules_in_yaml_are_what_they_look_like(
    tmp_path: Path, text: str, meant: dict[str, Any]
) -> None:
    """Times of day are texts, and JSON is YAML."""
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    assert read_policy(file) == meant


@pytest.mark.parametrize(
    "octets",
    [
        b"- 1",
        b"caps: [",
        b"\xff\xfe\x00",
        b"a: !!python/object/apply:os.system [id]",
        b"a: &a [1]\nb: *a",
        b"x" * 300_000,
        b"a: .inf\nb: \x00",
        b"[" * 100_000,
        b"1: 2",
    ],
)
def test_what_is_no_set_of_rules_is_one_sentence(tmp_path: Path, octets: bytes) -> None:
    """Nothing in a file is run, and none makes a short text a long one."""
    file = tmp_path / "rules.yaml"
    file.write_bytes(octets)
    with pytest.raises(CommandError):
        read_policy(file)


@contextmanager
def platform(answer: dict[str, Any], asked: list[tuple[str, Any]]) -> Iterator[str]:
    """A server that answers everything alike, and writes down what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            asked.append(
                (f"{self.command} {self.path}", orjson.loads(self.rfile.read(size) or b"0"))
            )
            body = orjson.dumps(answer)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815  # names that http.server calls

        @override
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


COUNT = {
    "people": 1200,
    "people_reachable": 1000,
    "rows": [
        {"network": "apns", "reason": "accepted", "count": 1000},
        {"network": None, "reason": "user_has_no_device", "count": 200},
    ],
}


def test_a_count_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The most frequent first."""
    asked: list[tuple[str, Any]] = []
    with platform(COUNT, asked) as url:
        code = run(["segments", "count", "country = FR", "--category", "news", "--url", url])
    shown = capsys.readouterr().out
    assert code == Exit.OK
    assert asked == [("POST /v1/segments/count", {"segment": "country = FR", "category": "news"})]
    assert "1,200 people, 1,000 of them reachable" in shown
    assert shown.index("reachable") < shown.index("user has no device")


def test_a_segment_comes_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON where it begins with a brace, else as text."""
    asked: list[tuple[str, Any]] = []
    text, form = tmp_path / "a.txt", tmp_path / "a.json"
    text.write_text(" country = FR\n")
    form.write_text('{"everyone": true}')
    with platform({"name": "a b", "version": 2, "text": "everyone"}, asked) as url:
        for file in (text, form):
            assert run(["segments", "put", "a b", f"@{file}", "--url", url]) == Exit.OK
        assert run(["segments", "put", "a", "@gone", "--url", url]) == Exit.USAGE
    assert [path for path, _ in asked] == ["PUT /v1/segments/a%20b"] * 2
    assert [body["expression"] for _, body in asked] == ["country = FR", {"everyone": True}]
    assert "a b, version 2: everyone" in capsys.readouterr().out


DRY: dict[str, Any] = {
    "people": 3,
    "by_action": {"send": 1, "hold": 0, "skip": 2, "digest": 0},
    "decisions": [{"action": "skip", "reason": "quiet_hours", "network": "apns", "count": 2}],
    "curve": [{"at": "2026-03-01T12:00:00Z", "network": "apns", "due": 1, "sent": 1, "waiting": 0}],
    "last_hour": "2026-03-01T12:00:00Z",
    "refused": False,
    "caps": {"people": 2, "people_by_scheduled": 1},
    "payloads": {"apns": {"limit": 4096, "longest": 4200, "too_long": 1}},
    "missing": {"user.name": 4},
    "failures": {"a [filter] fails": 5},
    "local_time": {"passed": 6, "send_now_sent": 2},
    "time_zone_unknown": 7,
    "samples": [
        {"external_id": "ada[x]", "user": 1, "network": "apns", "title": "Hi [b]", "body": None}
    ],
}


def test_a_dry_run_tells_it_all_and_ends_with_findings_when_nobody_is_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Names and texts are shown as they are."""
    asked: list[tuple[str, Any]] = []
    with platform(DRY, asked) as url:
        assert run(["dry-run", "--all", "--title", "Hi", "--url", url]) == Exit.OK
    shown = capsys.readouterr().out
    for words in (
        "quiet hours",
        "Caps stop or hold it for 2 people; 1 of them",
        "1 payloads are too long for APNs",
        "user.name is missing for 4",
        "a [filter] fails: 5",
        "send_now sends to 2",
        "zone of 7 devices",
        "ada[x]",
        "Hi [b]",
    ):
        assert words in shown
    assert asked == [("POST /v1/messages/dry-run?samples=3", {"to": {"all": True}, "title": "Hi"})]
    nobody = DRY | {"by_action": {"send": 0, "hold": 0, "skip": 3, "digest": 0}}
    with platform(nobody, asked) as url:
        assert run(["dry-run", "--all", "--title", "Hi", "--url", url]) == Exit.FINDINGS


def test_a_replay_shows_both_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each move with its count."""
    file = tmp_path / "rules.yaml"
    file.write_text("caps: []")
    before = {"action": "skip", "reason": "frequency_capped"}
    after = {"action": "send", "reason": "accepted"}
    sample = {
        "user": 5,
        "external_id": None,
        "explanation_before": "It was [capped].",
        "explanation_after": "It was sent.",
    }
    answer = {
        "considered": 10,
        "changed": 4,
        "moves": [{"before": before, "after": after, "count": 4}],
        "samples": [sample],
    }
    asked: list[tuple[str, Any]] = []
    with platform(answer, asked) as url:
        assert run(["replay", "m/1", "--with", str(file), "--url", url]) == Exit.OK
    shown = capsys.readouterr().out
    assert asked == [("POST /v1/messages/m%2F1/replay", {"policy": {"caps": []}, "samples": 5})]
    for words in ("4 of 10", "skip: frequency capped", "It was [capped].", "user 5"):
        assert words in shown
