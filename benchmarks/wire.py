"""The HTTP/2 core against h2load and aioapns: CPU time of the client process per request.

Client on one core, server on another, TLS on, one connection with 1,000 streams. Two columns: a
server that answers at once, where whole batches share a TLS record; and one that delays each
answer alone by 20-40 ms, where every answer is a record of its own, as at the real providers.
`nghttpd` is a third server, with whole header blocks and a body in each answer.

h2load lets the `authorization` header enter the header table, so ours does too where the two are
compared; `clarion_fast_literal_...` is what our APNs default costs, which never indexes it.

    python -m benchmarks.wire [--quick] --json
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.harness import (
    cores,
    cpu_of_child,
    distribution,
    emit,
    median_of_rounds,
    program,
    program_version,
    server,
)
from benchmarks.wire_client import BODY, HEADERS
from clarion.adapters.net.loopback_tls import LoopbackTls, make_loopback_tls

_MICRO: Final = 1e6
_STREAMS: Final = 1000
_DELAY_MS: Final = "20-40"
_NGHTTPD_PORT: Final = 19_469


@dataclass(frozen=True, slots=True)
class Column:
    """One server, and how many requests a round of it takes."""

    name: str
    argv: list[str]
    path: str
    requests: int
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share."""

    folder: Path
    tls: LoopbackTls
    client_core: int
    server_core: int


def main() -> None:
    """Measures, prints a table, and the JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 seconds")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        available = cores()
        tls = make_loopback_tls(folder, datetime.now(UTC))
        bench = Bench(folder, tls, available[0], available[-1])
        (folder / "body").write_bytes(BODY)
        (folder / "pushed").write_bytes(b"ok")
        figures = _measure(bench, quick=options.quick)
    ratios = _ratios(figures)
    if not options.json:
        for key, value in {**figures, **ratios}.items():
            print(f"{key:48} {value:10.3f}")
    peers = {
        "h2load": program_version("h2load"),
        "nghttpd": program_version("nghttpd"),
        "aioapns": distribution("aioapns"),
    }
    emit("wire", figures, ratios, peers)


def _columns(bench: Bench, *, quick: bool) -> list[Column]:
    blackhole = [
        sys.executable, "-m", "benchmarks.blackhole",
        "--certificate", str(bench.tls.certificate), "--key", str(bench.tls.key),
        "--max-streams", str(_STREAMS),
    ]  # fmt: skip
    token_path = "/3/device/" + "0" * 64
    columns = [
        Column("fast", blackhole, token_path, 150_000 if quick else 500_000),
        Column(
            "delayed",
            [*blackhole, "--delay-ms", _DELAY_MS],
            token_path,
            50_000 if quick else 250_000,
        ),
    ]
    nghttpd = program("nghttpd")
    if nghttpd is not None:
        argv = [
            nghttpd, "-m", str(_STREAMS),
            "-d", str(bench.folder), str(_NGHTTPD_PORT), str(bench.tls.key),
            str(bench.tls.certificate),
        ]  # fmt: skip
        columns.append(
            Column("nghttpd", argv, "/pushed", 40_000 if quick else 150_000, _NGHTTPD_PORT)
        )
    return columns


def _measure(bench: Bench, *, quick: bool) -> dict[str, float]:
    rounds = 3 if quick else 5
    figures: dict[str, float] = {}
    for column in _columns(bench, quick=quick):
        with server(column.argv, core=bench.server_core, port=column.port) as port:
            runs: dict[str, Callable[[], float]] = {
                "clarion": partial(_clarion, bench, column, port)
            }
            if column.name == "fast":
                runs["clarion_literal"] = partial(_clarion, bench, column, port, "--literal")
            if program("h2load") is not None:
                runs["h2load"] = partial(_h2load, bench, column, port)
            for who, value in median_of_rounds(runs, rounds).items():
                client, _, how = who.partition("_")
                name = "_".join(filter(None, (client, column.name, how)))
                figures[f"{name}_cpu_us_per_request"] = value
    if distribution("aioapns") is not None:
        figures["aioapns_cpu_us_per_request"] = _aioapns(bench, 1_000 if quick else 5_000)
    return figures


def _clarion(bench: Bench, column: Column, port: int, *more: str) -> float:
    argv = [
        sys.executable, "-m", "benchmarks.wire_client", "--port", str(port),
        "--count", str(column.requests), "--streams", str(_STREAMS),
        "--ca-file", str(bench.tls.ca_file), *more,
    ]  # fmt: skip
    if column.path == "/pushed":
        argv += ["--path", column.path]
    result = json.loads(cpu_of_child(argv, core=bench.client_core).output)
    return float(result["cpu_s"]) / column.requests * _MICRO


def _h2load(bench: Bench, column: Column, port: int) -> float:
    argv = [
        "h2load", "-c1", "-t1", f"-m{_STREAMS}", "-n", str(column.requests),
        "-d", str(bench.folder / "body"),
    ]  # fmt: skip
    for name, value in HEADERS:
        argv += ["-H", f"{name.decode()}: {value.decode()}"]
    run = cpu_of_child([*argv, f"https://127.0.0.1:{port}{column.path}"], core=bench.client_core)
    if f" {column.requests} succeeded" not in run.output:
        raise RuntimeError(f"h2load did not succeed: {run.output}")
    return run.cpu_s / column.requests * _MICRO


def _aioapns(bench: Bench, requests: int) -> float:
    pem = bench.folder / "client.pem"
    pem.write_bytes(bench.tls.certificate.read_bytes() + bench.tls.key.read_bytes())
    module = [sys.executable, "-m", "benchmarks.wire_aioapns"]
    serve = [*module, "--certificate", str(bench.tls.certificate), "--key", str(bench.tls.key)]
    with ExitStack() as stack:
        port = stack.enter_context(server(serve, core=bench.server_core))
        argv = [*module, "--port", str(port), "--count", str(requests), "--client-pem", str(pem)]
        result = json.loads(cpu_of_child(argv, core=bench.client_core).output)
    return float(result["cpu_s"]) / requests * _MICRO


def _ratios(figures: dict[str, float]) -> dict[str, float]:
    """Ours over the peer's, where the peer is there."""
    pairs = {
        "cpu_per_request_vs_h2load": ("clarion_fast", "h2load_fast"),
        "cpu_per_request_vs_h2load_delayed": ("clarion_delayed", "h2load_delayed"),
        "cpu_per_request_vs_h2load_nghttpd": ("clarion_nghttpd", "h2load_nghttpd"),
        "cpu_per_request_vs_aioapns": ("clarion_fast", "aioapns"),
    }
    unit = "_cpu_us_per_request"
    return {
        name: figures[ours + unit] / figures[theirs + unit]
        for name, (ours, theirs) in pairs.items()
        if ours + unit in figures and theirs + unit in figures
    }


if __name__ == "__main__":
    main()
