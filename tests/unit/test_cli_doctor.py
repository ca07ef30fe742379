"""What the doctor says of this machine and of clocks, without any engine."""

import os
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from clarion.app import doctor_host
from clarion.app.doctor_finding import Finding, Level
from clarion.app.doctor_host import examine_host
from clarion.app.doctor_state import skew
from clarion.app.settings import Settings, load


def settings(folder: Path, **egress: str) -> Settings:
    """Settings with that data directory."""
    loaded = load({"CLARION_DATA_DIR": str(folder)})
    return msgspec.convert(
        {"data": {"dir": str(folder)}, "egress": egress},
        type(loaded),
        dec_hook=lambda kind, value: kind(value),
    )


def found(what: str, folder: Path, **egress: str) -> Finding:
    """The finding of that name."""
    (finding,) = (f for f in examine_host(settings(folder, **egress)) if f.what == what)
    return finding


@pytest.mark.parametrize(
    ("ahead", "level"),
    [
        (timedelta(0), Level.OK),
        (timedelta(seconds=-1), Level.OK),
        (timedelta(seconds=3), Level.WARN),
        (timedelta(seconds=-3), Level.WARN),
        (timedelta(minutes=-5), Level.FAIL),
    ],
)
def test_a_clock_that_is_off_is_worse_the_further(ahead: timedelta, level: Level) -> None:
    """Either way; what is not well comes with advice."""
    finding = skew("clock", ahead)
    assert finding.level is level
    assert bool(finding.advice) == (level is not Level.OK)
    assert ("behind" in finding.found) == (ahead <= timedelta(0))


def test_a_machine_in_order_has_no_failure(tmp_path: Path) -> None:
    """Before the first start too."""
    findings = list(examine_host(settings(tmp_path / "not" / "there")))
    assert Level.FAIL not in {finding.level for finding in findings}


def test_a_data_directory_that_others_may_write_is_told(tmp_path: Path) -> None:
    """With the command that corrects it."""
    tmp_path.chmod(0o777)
    finding = found("data directory", tmp_path)
    assert finding.level is Level.WARN
    assert "chmod" in finding.advice


def test_a_master_key_that_others_may_read_fails(tmp_path: Path) -> None:
    """It opens every credential."""
    key = tmp_path / "master.key"
    key.touch(mode=0o644)
    assert found("master key", tmp_path).level is Level.FAIL
    key.chmod(0o600)
    assert found("master key", tmp_path).level is Level.OK


@pytest.mark.parametrize(
    ("files", "connections", "level"),
    [(200_256, 200_000, Level.OK), (20_000, 50_000, Level.OK), (4_096, 50_000, Level.WARN)],
)
def test_how_many_devices_a_process_can_hold_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: int, connections: int, level: Level
) -> None:
    """Each is an open file: where these are fewer than the setting, how to have more is told."""
    monkeypatch.setattr(doctor_host, "files_allowed", lambda: files)
    asked = settings(tmp_path)
    push = msgspec.structs.replace(asked.push, connections=connections)
    (finding,) = (
        one
        for one in examine_host(msgspec.structs.replace(asked, push=push))
        if one.what == "devices"
    )
    held = min(connections, files - 256)
    assert f"holds {held:,}" in finding.found
    assert finding.level is level
    assert (f"{connections + 256}" in finding.advice) is (held < connections)


def test_an_authority_that_is_not_there_fails(tmp_path: Path) -> None:
    """Nothing could be sent."""
    finding = found("authorities", tmp_path, ca_file=str(tmp_path / "ca.pem"))
    assert finding.level is Level.FAIL
    assert "egress.ca_file" in finding.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_of_somebody_else_fails(tmp_path: Path) -> None:
    """With whom to run as."""
    tmp_path.chmod(0o500)
    assert found("data directory", tmp_path).level is Level.FAIL
    tmp_path.chmod(0o700)
