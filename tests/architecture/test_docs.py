"""What the documents say is true of the code."""

import ast
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, groupby
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from cyclopts import CycloptsError

from clarion.adapters.state.journal import KEY_LIFETIME
from clarion.adapters.state.plan_line import USERS_PER_SHARD
from clarion.api.routes import ROUTES
from clarion.api.shapes.messages import MessageBody
from clarion.app.docs import PAGES, REASONS, REFERENCE, with_ratios
from clarion.app.retention import AT_ONCE
from clarion.app.role_planner import RETAIN_EVERY_S
from clarion.app.role_sender import BULK_SLOTS
from clarion.app.roles import CONNECTIONS
from clarion.app.setting_retention import Retention
from clarion.app.settings import load, table
from clarion.cli.entry import application
from clarion.domain.attributes import CODES
from clarion.domain.consent_intake import Refusal
from clarion.domain.credential_health import FaultPolicy
from clarion.domain.errors import MORE_FIELD_CODES, FieldCode
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.domain.outcome import Reason
from clarion.domain.retry import PATIENT, URGENT
from clarion.stages.delivery.sender import LEASE_S, STORE_PATIENCE_S
from clarion.stages.delivery.urgent import (
    NAMES_PER_GROUP,
    UNRECORDED_RECIPIENTS,
    URGENT_DEVICES,
)
from clarion.stages.planning.plan import PLAN_LEASE_S, RENEW_EVERY_S
from clarion.telemetry.names import LogEvent, Metric

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(p for p in (ROOT / "docs").rglob("*.md") if p.parent != REFERENCE),
        *(ROOT / "deploy").glob("*.md"),
    ]
)
RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
_FENCE = re.compile(r"^```(\w+)?(?: ([\w-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SEPARATORS = {"|", "||", "&&", "&", ">", "<", ";"}
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Example:
    """A fenced block of a document."""

    document: str
    language: str
    kind: str
    text: str


def examples(*languages: str) -> Iterator[Example]:
    """The blocks in any of some languages."""
    for document in DOCUMENTS:
        for language, kind, text in _FENCE.findall(document.read_text()):
            if language in languages:
                yield Example(str(document.relative_to(ROOT)), language, kind, text)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command in the shell examples: its document and its words."""
    for example in examples("sh", "bash"):
        for line in whole_lines(example.text):
            words = shlex.split(line, comments=True)
            for _, stage in groupby(words, lambda word: word in SEPARATORS):
                command = list(dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word), stage))
                if command and command[0] not in SEPARATORS:
                    yield example.document, command


def whole_lines(text: str) -> Iterator[str]:
    """The lines of a shell script, continued and quoted ones put together."""
    begun = ""
    for line in text.replace("\\\n", " ").splitlines():
        begun += line + "\n"
        try:
            shlex.split(begun, comments=True)
        except ValueError:  # a quotation goes on
            continue
        yield begun
        begun = ""
    assert not begun, f"a quotation never ends: {begun}"


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_up_to_date(name: str) -> None:
    """`make docs` would change nothing."""
    assert (REFERENCE / name).read_text() == PAGES[name](), f"run `make docs` ({name})"


def test_ratios_in_the_readme_are_those_that_were_measured() -> None:
    """No figure is written by hand."""
    readme = (ROOT / "README.md").read_text()
    assert with_ratios(readme) == readme, "run `make docs`"


def hours(seconds: float) -> str:
    """A number of hours as the documents say it."""
    count = int(seconds // 3600)
    return "an hour" if count == 1 else f"{count} hours"


BULK = CHUNK_RECIPIENTS[Lane.CAMPAIGN] // BULK_SLOTS
BOUND = BULK_SLOTS * BULK + CHUNK_RECIPIENTS[Lane.TRANSACTIONAL]
FIGURES = {
    "ARCHITECTURE.md": [f"{BOUND} recipients for each sender process", f"of {BULK} for any lane"],
    "docs/explanation/crash-safety.md": [
        f"at most **{BOUND}** recipients",
        f"chunks of {BULK}",
        f"for {STORE_PATIENCE_S:.0f} seconds",
        f"the lease runs out after {LEASE_S / 60:.0f} minutes",
        f"while **{UNRECORDED_RECIPIENTS}** recipients wait",
    ],
    "docs/explanation/time-and-deadlines.md": [
        f"urgent lanes: {hours(URGENT.give_up_after_s)} or {URGENT.attempts} attempts",
        f"others: {hours(PATIENT.give_up_after_s)} or {PATIENT.attempts} attempts",
    ],
    "docs/explanation/credentials-and-dead-tokens.md": [
        f"at least {FaultPolicy().at_least}, and more than {FaultPolicy().share:.0%}".replace(
            "%", " %"
        ),
        f"the last {FaultPolicy().window_answers:,} answers",
        f"fewer than **{BOUND + (BULK_SLOTS + 1) * (FaultPolicy().at_least - 1)} recipients**",
    ],
    "docs/howto/run-in-production.md": [
        f"{CONNECTIONS['api']} for\neach API process, {CONNECTIONS['sender']} for each sender",
        f"{CONNECTIONS['planner']} for a planner, {CONNECTIONS['facts']} for the facts",
        f"{CONNECTIONS['push']} for each push process",
        f"has run out, after {LEASE_S / 60:.0f} minutes",
    ],
    "docs/explanation/facts-and-audience.md": [
        f"{Retention().messages_days} days (`retention.messages_days`)",
        f"{Retention().removals_days} days (`retention.removals_days`)",
        f"{Retention().facts_outcomes_days} days (`retention.facts_outcomes_days`)",
        f"{Retention().facts_decisions_days} days (`retention.facts_decisions_days`)",
        f"{Retention().facts_events_days} days after it happened (`retention.facts_events_days`)",
        f"an idempotency key | {KEY_LIFETIME.days} days",
        f"every {RETAIN_EVERY_S:.0f} seconds, {AT_ONCE:,} rows",
        f"({PLAN_LEASE_S:.0f} s) every {RENEW_EVERY_S:.0f} s",
        f"than {USERS_PER_SHARD:,} users",
    ],
    "docs/howto/backup-and-restore.md": [f"events older than {Retention().events_days} days"],
    "docs/explanation/idempotency.md": [f"kept for {KEY_LIFETIME.days} days"],
    "docs/explanation/urgent-path.md": [
        f"up to {NAMES_PER_GROUP} names and {URGENT_DEVICES} devices",
        f"never more than {UNRECORDED_RECIPIENTS} recipients a process",
        "ten recipients",
    ],
}


@pytest.mark.parametrize("document", FIGURES)
def test_figures_in_documents_are_the_codes(document: str) -> None:
    """A bound or a limit that is stated is the one that holds."""
    text = " ".join((ROOT / document).read_text().replace("\n> ", "\n").split())
    figures = [" ".join(figure.split()) for figure in FIGURES[document]]
    assert [figure for figure in figures if figure not in text] == []


def test_every_reason_is_explained() -> None:
    """Why somebody did not get a message is the first question that an operator asks."""
    assert set(REASONS) == set(Reason)


def test_links_lead_somewhere() -> None:
    """Every relative link names a file."""
    dead = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in DOCUMENTS
        for pair in _LINK.findall(document.read_text())
        for link in pair
        if link and "://" not in link and not link.startswith("mailto:")
        if not (document.parent / link).exists()
    ]
    assert dead == []


def test_pictures_are_drawn_for_light_and_dark_and_described() -> None:
    """Whoever can't see a picture, or reads at night, is told the same."""
    for picture in sorted((ROOT / "docs" / "images").glob("*.svg")):
        tree = ET.parse(picture)  # noqa: S314  our own file
        space = {"svg": "http://www.w3.org/2000/svg"}
        assert tree.findtext("svg:title", namespaces=space)
        assert tree.findtext("svg:desc", namespaces=space)
        assert "prefers-color-scheme: dark" in picture.read_text()


def test_json_examples_are_json_and_messages_are_accepted_shapes() -> None:
    """A block marked `json message` is a body that `POST /v1/messages` reads."""
    for example in examples("json"):
        json.loads(example.text)
        if example.kind == "message":
            msgspec.json.decode(example.text, type=MessageBody)


def test_toml_examples_are_settings() -> None:
    """Every setting in an example exists and has a value that it may have."""
    for number, example in enumerate(examples("toml")):
        file = ROOT / "docs" / f"example-{number}.toml"
        tree = tomllib.loads(example.text)
        known = {setting.name for setting in table()}
        named = {f"{section}.{name}" for section, members in tree.items() for name in members}
        assert named <= known, f"{example.document}: {named - known}, {file.name}"


def test_settings_examples_load(tmp_path: Path) -> None:
    """The settings reader itself takes every example."""
    for example in examples("toml"):
        file = tmp_path / "clarion.toml"
        file.write_text(example.text)
        load({}, file)


def test_variables_in_documents_are_settings() -> None:
    """`CLARION_...` in a document is a variable that is read."""
    known = {setting.variable for setting in table()}
    known |= {f"{s.variable}_FILE" for s in table() if s.secret}
    known |= {"CLARION_CONFIG", "CLARION_KEY", "CLARION_URL"}
    named = {
        (str(document.relative_to(ROOT)), variable)
        for document in DOCUMENTS
        for variable in re.findall(r"\bCLARION_[A-Z_]*[A-Z]\b", document.read_text())
    }
    assert {(where, variable) for where, variable in named if variable not in known} == set()


def test_shell_examples_parse() -> None:
    """The shell can read every example."""
    for example in examples("sh", "bash"):
        checked = subprocess.run(
            ["bash", "-n"], input=example.text, text=True, capture_output=True, check=False
        )
        assert checked.returncode == 0, f"{example.document}: {checked.stderr}"


def test_make_commands_in_documents_exist() -> None:
    """`make VERB` names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        verb
        for document in DOCUMENTS
        for verb in re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(), re.MULTILINE)
    }
    assert {"run", "demo", "test"} <= named <= targets


def test_clarion_commands_in_documents_parse() -> None:
    """The command line takes every `clarion ...` of the examples."""
    app = application()
    wrong = []
    for document, words in commands():
        if words[0] != "clarion":
            continue
        try:
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
        except CycloptsError as error:
            wrong.append(f"{document}: {shlex.join(words)}: {error}")
    assert wrong == []


def template(path: str) -> re.Pattern[str]:
    """What a route's path looks like when it is called."""
    return re.compile(re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(path)) + r"(\?.*)?")


def test_api_calls_in_documents_are_routes() -> None:
    """Every curl of the examples names a method and a path that exist."""
    wrong = []
    for document, words in commands():
        if words[0] != "curl":
            continue
        url = next(word for word in words if "$CLARION_URL" in word)
        path = url.partition("$CLARION_URL")[2]
        method = "POST" if {"-d", "--data-binary"} & set(words) else "GET"
        if "-X" in words:
            method = words[words.index("-X") + 1]
        if not any(r.method == method and template(r.path).fullmatch(path) for r in ROUTES):
            wrong.append(f"{document}: {method} {path}")
    assert wrong == []


ASKED = {
    "the context": {"Context", "The question"},
    "the decision": {"Decision"},
    "what follows": {"Consequences", "What follows"},
    "what was rejected": {"Rejected", "What was tried"},
}


@pytest.mark.parametrize("record", RECORDS, ids=lambda p: p.stem)
def test_a_decision_record_answers_four_questions(record: Path) -> None:
    """Why, what, at what price, and instead of what."""
    text = record.read_text()
    assert re.match(r"# \d+\.? \S", text)
    headings = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert [question for question, names in ASKED.items() if not headings & names] == []


def test_decision_records_are_numbered_without_a_gap_or_a_twin() -> None:
    """A number is a name."""
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == list(range(1, len(numbers) + 1))


def tracked() -> list[Path]:
    """Every text file of the project."""
    skipped = {".git", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"}
    kinds = {".py", ".md", ".toml", ".sql", ".txt", ".yaml", ".yml", ".sh", ".service", ".svg", ""}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in kinds
        and not skipped & set(path.relative_to(ROOT).parts)
        and not any(
            part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts[:-1]
        )
    ]


def test_lock_files_name_no_host() -> None:
    """Whoever installs chooses the package index."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text()
        assert not re.search(r"https?://|--index|--find-links|--trusted-host", text), lock.name
        unpinned = [line for line in text.splitlines() if line[:1].isalnum() and "==" not in line]
        assert unpinned == []


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    """Paths of whoever wrote it mean nothing to whoever reads it."""
    private = re.compile(r"(?<![\w.])/(?:work\b|Users/\w|home/\w+/(?!\.local))[/\w]*")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        for match in private.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_no_document_names_a_metric_or_a_log_event_that_is_not_there() -> None:
    """An alert on a name that does not exist never rings."""
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    metrics = set(re.findall(r"`(clarion_[a-z_]+)(?:\{[^`]*\})?`", text))
    assert metrics <= set(Metric)
    assert set(re.findall(r"[Ll]og event `([a-z_.]+)`", text)) <= set(LogEvent)


_PROBLEMS = {"Rule", "FieldProblem", "PayloadProblem", "CredentialProblem", "_problem"}
_CODE = re.compile(r"[a-z]+(_[a-z]+)+")


def field_codes(file: Path) -> Iterator[str]:
    """The codes that a module makes problems of fields with, where it writes them out."""
    for call in ast.walk(ast.parse(file.read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) in _PROBLEMS:
            named = [word.value for word in call.keywords if word.arg == "code"]
            for argument in named or call.args[1:3]:
                said = [n.value for n in ast.walk(argument) if isinstance(n, ast.Constant)]
                yield from (str(code) for code in said if _CODE.fullmatch(str(code)))


def test_the_catalogue_of_errors_has_every_code_of_a_field() -> None:
    """Programs compare codes, so each is a promise."""
    written = {code for file in (ROOT / "src").rglob("*.py") for code in field_codes(file)}
    columns = {"external_id"}
    known = set(FieldCode) | set(MORE_FIELD_CODES)
    assert len(written) > 25
    assert written - columns <= known
    assert CODES | set(Refusal) <= known
    page = (REFERENCE / "errors.md").read_text()
    assert not [code for code in known if f"`{code}`" not in page]
