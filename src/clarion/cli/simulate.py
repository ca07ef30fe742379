"""`clarion simulate`: a network on this machine, strict, with faults on request."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol, TypeVar

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from cyclopts import App, Parameter

from clarion.adapters.system import SystemClock
from clarion.app.simulate import (
    COUNTS_PATH,
    Listen,
    RunningSimulator,
    TlsFolderError,
    Watched,
    simulating,
)
from clarion.app.simulate_blackhole import Blackholes
from clarion.cli.exits import CommandError, Exit
from clarion.cli.output import OUT
from clarion.cli.running import ends_with_parent, run_loop, stop_on_signals
from clarion.domain.network import Environment
from clarion.providers.apns.credential import read_certificate
from clarion.providers.apns.simulator import ApnsFaults, ApnsKey, ApnsSimulator
from clarion.providers.fcm.simulator import FAULTS, FcmAccount, FcmFaults, FcmSimulator
from clarion.providers.webpush.errors import Profile
from clarion.providers.webpush.simulator import WebPushFaults, WebPushSimulator
from clarion.wire.jose import (
    JoseError,
    base64url_decode,
    base64url_encode,
    load_es256_key,
    load_rs256_key,
)

app = App(
    name="simulate",
    help="Run a push network on this machine: as strict as the real one, with faults on request.",
)

_SHARES: Final = (
    "dead", "invalid", "sandbox", "foreign", "other_key",
    "throttle", "unavailable", "silent", "dropped",
)  # fmt: skip
_RANGE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", re.ASCII)


_Faults = TypeVar("_Faults", ApnsFaults, FcmFaults, WebPushFaults)


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """Where it listens, and what it tells."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 0
    """Port to listen on; 0 takes a free one."""
    tls_dir: Path | None = None
    """Keep the authority and certificate here; else they are made for this run."""
    no_tls: Annotated[bool, Parameter(negative=())] = False
    """Plain HTTP/2 with prior knowledge."""
    latency_ms: str = ""
    """Delay of each answer: `20` or `20-40`."""
    blackhole: Annotated[bool, Parameter(negative=())] = False
    """Take everything unread and answer 200, at next to no cost: measures the client."""
    counts_file: Path | None = None
    """Write what was seen to this file, every second and at the end."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Say where it listens, and what it saw, as lines of JSON."""
    with_parent: Annotated[bool, Parameter(negative=(), show=False)] = False
    """End when the process that started it is gone."""


@dataclass(frozen=True, kw_only=True)
class ApnsOptions(ListenOptions):
    """Apple's own."""

    environment: Literal["production", "sandbox"] = "production"
    """Which of Apple's two worlds."""
    key_file: Path | None = None
    """The `.p8` key that provider tokens must be signed with."""
    key_id: str = ""
    """Its id, ten characters."""
    team_id: str = ""
    """Its team, ten characters."""
    topics: Annotated[tuple[str, ...], Parameter(name="--topic", negative=())] = ()
    """A bundle id that the key or certificate may send to, and no other; may be repeated."""
    certificates: Annotated[tuple[Path, ...], Parameter(name="--certificate", negative=())] = ()
    """A client certificate (PEM) that may send, to the topics it names; may be repeated."""


@dataclass(frozen=True, kw_only=True)
class FcmOptions(ListenOptions):
    """Google's own."""

    service_account: Path | None = None
    """The JSON file of the only account that exists."""


@dataclass(frozen=True, kw_only=True)
class WebPushOptions(ListenOptions):
    """A push service's own."""

    profile: Literal["generic", "autopush", "google", "apple", "wns", "ntfy"] = "generic"
    """In whose words it answers."""
    application_key: str = ""
    """The VAPID public key (base64url) that all subscriptions were made with; else any is taken."""
    decrypt: Annotated[bool, Parameter(negative=())] = False
    """Decrypt every message, and refuse those that do not open."""
    subscriptions: int = 0
    """Print so many subscriptions, one JSON object a line, once it listens."""
    seed: int = 0
    """Decides endpoints, keys and chance."""


@app.command
def apns(
    *,
    options: Annotated[ApnsOptions | None, Parameter(name="*")] = None,
    faults: Annotated[ApnsFaults | None, Parameter(name="*")] = None,
) -> int:
    """Simulate Apple's push service.

    Takes every well-formed device token. Without `--key-file` and `--certificate` it takes every
    provider token too, whoever signed it; with them, only that key's, and those certificates.
    """
    chosen = options or ApnsOptions()
    wrong = _delayed(faults or ApnsFaults(), chosen)
    if chosen.blackhole:
        return _run(_blackholes(wrong.max_streams, wrong.latency_s, wrong.seed), chosen, "apns")
    keys = [] if chosen.key_file is None else [_apns_key(chosen.key_file, chosen)]
    judge = ApnsSimulator(
        keys=keys,
        certificates=dict(_apns_certificate(file, chosen) for file in chosen.certificates),
        any_key=not keys and not chosen.certificates,
        any_token=True,
        environment=Environment[chosen.environment.upper()],
        faults=wrong,
    )
    return _run(Watched(judge), chosen, "apns")


@app.command
def fcm(
    *,
    options: Annotated[FcmOptions | None, Parameter(name="*")] = None,
    faults: Annotated[FcmFaults | None, Parameter(name="*")] = None,
) -> int:
    """Simulate FCM HTTP v1 and Google's token service (at /token).

    Takes every well-formed registration token. Without `--service-account` it takes every
    assertion and access token too; with one, only those of that account and its project.
    """
    chosen = options or FcmOptions()
    wrong = _delayed(faults or FcmFaults(), chosen)
    if wrong.reason and wrong.reason not in FAULTS:
        raise CommandError(f"--reason must be one of {', '.join(FAULTS)}")
    if chosen.blackhole:
        return _run(_blackholes(wrong.max_streams, wrong.latency_s, wrong.seed), chosen, "fcm")
    accounts = [] if chosen.service_account is None else [_fcm_account(chosen.service_account)]
    judge = FcmSimulator(accounts=accounts, any_key=not accounts, any_token=True, faults=wrong)
    return _run(Watched(judge), chosen, "fcm")


@app.command
def webpush(
    *,
    options: Annotated[WebPushOptions | None, Parameter(name="*")] = None,
    faults: Annotated[WebPushFaults | None, Parameter(name="*")] = None,
) -> int:
    """Simulate a push service for browsers, in the words of any of the real ones.

    Its endpoints are numbered and signed by `--seed`; `--subscriptions N` prints N of them.
    """
    chosen = options or WebPushOptions()
    wrong = _delayed(faults or WebPushFaults(), chosen)
    if chosen.blackhole:
        return _run(_blackholes(wrong.max_streams, wrong.latency_s, chosen.seed), chosen, "webpush")
    judge = WebPushSimulator(
        profile=Profile[chosen.profile.upper()],
        faults=wrong,
        application_key=_public_key(chosen.application_key) if chosen.application_key else None,
        decrypt=chosen.decrypt,
        seed=chosen.seed,
    )

    def show(running: RunningSimulator) -> None:
        for subscription in judge.subscribe(chosen.subscriptions, running.url):
            keys = subscription.receiver
            said = {
                "endpoint": subscription.endpoint,
                "keys": {
                    "p256dh": base64url_encode(keys.public),
                    "auth": base64url_encode(keys.auth),
                },
            }
            print(json.dumps(said), flush=True)

    return _run(Watched(judge), chosen, "webpush", show)


class _Show(Protocol):
    def __call__(self, running: RunningSimulator) -> None: ...


def _run(
    judge: Watched | Blackholes,
    listen: ListenOptions,
    network: str,
    show: _Show | None = None,
) -> int:
    where = Listen(
        host=listen.host,
        port=listen.port,
        tls=not listen.no_tls,
        tls_dir=listen.tls_dir,
        counts_file=listen.counts_file,
        client_certificates=listen.certificates if isinstance(listen, ApnsOptions) else (),
    )
    try:
        run_loop(_serve(judge, where, network, listen, show))
    except OSError as error:
        raise CommandError(
            f"{listen.host}:{listen.port} can't be listened on ({error.strerror}); "
            "choose another --port, or 0 for a free one",
            Exit.UNREACHABLE,
        ) from error
    except TlsFolderError as error:
        raise CommandError(f"{error}; choose another --tls-dir") from error
    return Exit.OK


async def _serve(
    judge: Watched | Blackholes,
    where: Listen,
    network: str,
    options: ListenOptions,
    show: _Show | None,
) -> None:
    stop = stop_on_signals()
    async with (
        ends_with_parent(stop, wanted=options.with_parent),
        simulating(judge, where, SystemClock()) as running,
    ):
        _announce(running, network, options)
        if show is not None:
            show(running)
        await stop.wait()
        counts = dict(running.counts())
    if options.json:
        print(json.dumps({"event": "ended", "counts": counts}), flush=True)
    else:
        OUT.print(f"\n{network} simulator saw", soft_wrap=True)
        for name, value in counts.items():
            OUT.print(f"  {name.replace('_', ' ')}: {value}", markup=False, soft_wrap=True)


def _announce(running: RunningSimulator, network: str, options: ListenOptions) -> None:
    ca_file = None if running.ca_file is None else str(running.ca_file)
    if options.json:
        said = {"event": "listening", "network": network, "url": running.url, "ca_file": ca_file}
        print(json.dumps(said), flush=True)
        return
    mode = "blackhole" if options.blackhole else "strict"
    OUT.print(f"[bold]{network}[/] simulator ({mode}) listens at [bold]{running.url}[/]")
    if ca_file is not None:
        OUT.print(f"  authority to trust: {ca_file}", soft_wrap=True)
        OUT.print("  tell Clarion with these variables:")
        OUT.print(f"    CLARION_EGRESS_CA_FILE={ca_file}", soft_wrap=True)
    elif network == "apns":
        OUT.print("  without TLS it is for other clients: Clarion speaks to Apple over TLS only")
    else:
        OUT.print("  tell Clarion with these variables:")
    if ca_file is not None or network != "apns":
        OUT.print(f"    {_VARIABLES[network].format(running.url)}", soft_wrap=True)
    if not options.blackhole:
        OUT.print(f"  what it saw so far: {running.url}{COUNTS_PATH}", soft_wrap=True)
    OUT.print("  Ctrl-C ends it.")


_VARIABLES: Final = {
    "apns": "CLARION_APNS_PRODUCTION_URL={0}",
    "fcm": "CLARION_FCM_BASE_URL={0} CLARION_FCM_TOKEN_URL={0}/token",
    "webpush": "CLARION_EGRESS_ALLOW_HOSTS=127.0.0.1",
}


def _delayed(faults: _Faults, listen: ListenOptions) -> _Faults:
    for name in _SHARES:
        if not 0.0 <= getattr(faults, name, 0.0) <= 1.0:
            raise CommandError(f"--{name.replace('_', '-')} is a share from 0 to 1")
    if not listen.latency_ms:
        return faults
    found = _RANGE.fullmatch(listen.latency_ms)
    if found is None:
        raise CommandError(
            f"--latency-ms is a number of milliseconds or a range such as 20-40, "
            f"not {listen.latency_ms!r}"
        )
    low, high = float(found[1]) / 1000, float(found[2] or found[1]) / 1000
    if high < low:
        raise CommandError("--latency-ms is a range from the lower to the higher number")
    return replace(faults, latency_s=(low, high))


def _blackholes(max_streams: int, latency_s: tuple[float, float], seed: int) -> Blackholes:
    return Blackholes(max_streams=max_streams, latency_s=latency_s, seed=seed)


def _apns_key(file: Path, options: ApnsOptions) -> ApnsKey:
    if not options.key_id or not options.team_id:
        raise CommandError("--key-file needs --key-id and --team-id, as Apple shows them")
    try:
        public = load_es256_key(file.read_bytes()).public_key()
    except (OSError, JoseError) as error:
        raise CommandError(f"--key-file {file}: {error}") from error
    return ApnsKey(
        key_id=options.key_id,
        team_id=options.team_id,
        public_pem=_pem(public),
        topics=frozenset(options.topics),
    )


def _apns_certificate(file: Path, options: ApnsOptions) -> tuple[bytes, frozenset[str]]:
    """The certificate in DER, and the topics that it may send to."""
    if options.no_tls:
        raise CommandError("--certificate needs TLS: leave --no-tls out")
    try:
        pem = file.read_text()
        said = read_certificate(pem)
        der = load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    except (OSError, ValueError) as error:
        raise CommandError(f"--certificate {file}: {error}") from error
    topics = said.topics or options.topics
    if not topics:
        raise CommandError(f"--certificate {file} names no topic: say --topic too")
    if said.environments and Environment[options.environment.upper()] not in said.environments:
        raise CommandError(f"--certificate {file} is not for {options.environment}")
    return der, frozenset(topics)


def _fcm_account(file: Path) -> FcmAccount:
    try:
        account = orjson.loads(file.read_bytes())
        return FcmAccount(
            email=account["client_email"],
            public_pem=_pem(load_rs256_key(account["private_key"]).public_key()),
            projects=frozenset({account["project_id"]}),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"--service-account {file} is not a service account: {error}") from error


def _public_key(text: str) -> bytes:
    try:
        return base64url_decode(text)
    except JoseError as error:
        raise CommandError(f"--application-key is not base64url: {error}") from error


def _pem(public: EllipticCurvePublicKey | RSAPublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
