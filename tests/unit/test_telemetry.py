"""Logs never tell what they must not, and metrics have one name each."""

import io
import json
import logging
import sys
from pathlib import Path

import pytest
from prometheus_client import values

from clarion.telemetry.logs import log, redact, start_logging
from clarion.telemetry.metrics import Metrics, forget, sweep
from clarion.telemetry.names import COUNTERS, GAUGES, HISTOGRAMS, LogEvent, Metric

SECRETS = [
    "clarion_admin_k1_c2VjcmV0c2VjcmV0",
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJBIn0.c2lnbmF0dXJl",
    "Bearer ya29.a0AfH6SMB",
    "a" * 64,
    "dQw4w9WgXcQ:APA91bH" + "x" * 130,
    "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABk" + "y" * 60,
    "-----BEGIN PRIVATE KEY-----\nMIGTAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----",
    "postgresql://clarion:hunter2@db.example/clarion",
    "jane.doe@example.org",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_a_token_or_an_address_is_blotted_out(secret: str) -> None:
    """Wherever it stands in a sentence."""
    blotted = redact(f"refused {secret} at once")
    assert blotted.startswith("refused ")
    tail = secret.replace("\n", "")[-12:]
    assert tail not in blotted.replace("\n", "") or "hunter2" in secret
    assert "hunter2" not in blotted


@pytest.mark.parametrize("style", ["json", "human"])
def test_events_fields_and_tracebacks_are_redacted(style: str) -> None:
    """A traceback that quotes a token does not."""
    stream = io.StringIO()
    undo = start_logging("info", style, stream)
    try:
        try:
            int("bad token " + "f" * 64)
        except ValueError as error:
            logger = logging.getLogger("clarion.test")
            log(logger, logging.ERROR, LogEvent.REQUEST_FAILED, error=error, to="a@example.org")
    finally:
        undo()
    text = stream.getvalue()
    assert "api.request_failed" in text
    assert "ValueError" in text
    assert "f" * 64 not in text
    assert "a@example.org" not in text
    if style == "json":
        line = json.loads(text)
        assert line["level"] == "error"
        assert line["time"].endswith("+00:00")


def test_start_logging_can_be_undone() -> None:
    """Tests and embedding programs get their loggers back."""
    before = list(logging.getLogger().handlers)
    start_logging("debug", "auto", sys.stderr)()
    assert logging.getLogger().handlers == before


def test_every_metric_is_of_exactly_one_kind() -> None:
    """The enum and the tables say the same."""
    kinds = [*COUNTERS, *GAUGES, *HISTOGRAMS]
    assert sorted(kinds) == sorted(Metric)


def test_metrics_are_shown_as_text() -> None:
    """Counters, gauges and histograms appear under their names."""
    metrics = Metrics()
    metrics.add(Metric.MESSAGES_ACCEPTED, "call", amount=2)
    metrics.level(Metric.QUEUE_READY, 7, "bulk")
    metrics.observe(Metric.HTTP_SECONDS, 0.004, "/v1/messages")
    text = metrics.exposition().decode()
    assert 'clarion_messages_accepted_total{lane="call"} 2.0' in text
    assert 'clarion_queue_ready_batches{lane="bulk"} 7.0' in text
    assert 'clarion_http_request_seconds_bucket{le="0.005",route="/v1/messages"} 1.0' in text


def test_durations_that_are_told_together_are_shown_like_those_told_one_by_one() -> None:
    """On the bound of a bucket, within one, and beyond the last."""
    shown = []
    for together in (False, True):
        metrics, values_s = Metrics(), [0.005, 0.004, 0.0, 0.007, 99.0, 0.005]
        if together:
            metrics.observe_all(Metric.HTTP_SECONDS, values_s, "/v1/messages")
        else:
            for value_s in values_s:
                metrics.observe(Metric.HTTP_SECONDS, value_s, "/v1/messages")
        lines = metrics.exposition().decode().splitlines()
        shown.append([line for line in lines if "http_request" in line and "_created" not in line])
    assert shown[0] == shown[1]
    assert any(line.endswith('le="0.005",route="/v1/messages"} 4.0') for line in shown[0])


def test_processes_that_share_a_directory_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever serves /metrics shows everybody's numbers."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    first = Metrics(tmp_path)
    first.add(Metric.MESSAGES_ACCEPTED, "call")
    first.add(Metric.MESSAGES_ACCEPTED, "call")
    assert 'lane="call"} 2.0' in first.exposition().decode()
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def test_numbers_of_an_earlier_run_are_swept_and_of_a_dead_process_forgotten(
    tmp_path: Path,
) -> None:
    """Gauges of the dead would be added up for ever."""
    for name in ("gauge_livesum_17.db", "counter_17.db", "gauge_livesum_18.db"):
        (tmp_path / name).touch()
    forget(tmp_path, 17)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["counter_17.db", "gauge_livesum_18.db"]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
