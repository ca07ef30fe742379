"""The house keeps its own rules."""

import ast
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from clarion.app.line import LINE, ROLES
from clarion.app.settings import table
from clarion.telemetry.names import COUNTERS, GAUGES, HISTOGRAMS, Metric

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "clarion"
MODULES = sorted(SRC.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PROVIDERS = sorted(p for p in (SRC / "providers").iterdir() if p.is_dir() and p.name[0] != "_")
FIVE_FILES = {"client.py", "credential.py", "payload.py", "errors.py", "simulator.py"}
DRAWERS = {"utils", "util", "helpers", "common", "misc", "base", "manager", "service", "types"}
LONGEST_MODULE = 400
WIDEST_PORT = 8


def relative(path: Path) -> str:
    """How a parametrized test names a file."""
    return str(path.relative_to(ROOT))


def imports_of(module: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module imports, wherever it does."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def foreign(room: str, allowed: set[str]) -> list[str]:
    """Imports of a room that are neither its own, nor the standard library's, nor allowed."""
    known = sys.stdlib_module_names | allowed
    return [
        f"{relative(module)}:{line}: {name}"
        for module in sorted((SRC / room).rglob("*.py"))
        for line, name in imports_of(module)
        if name.split(".")[0] not in known and not f"{name}.".startswith(f"clarion.{room}.")
    ]


def test_no_module_is_a_drawer() -> None:
    """A name that could hold anything will."""
    modules = MODULES + TESTS
    assert [relative(m) for m in modules if {m.stem, m.parent.name} & DRAWERS] == []


def test_modules_fit_on_a_few_screens() -> None:
    """A module longer than 400 lines wants to be two rooms."""
    lengths = {relative(m): len(m.read_text().splitlines()) for m in MODULES}
    assert {name: n for name, n in lengths.items() if n > LONGEST_MODULE} == {}


def test_modules_say_what_they_are() -> None:
    """Every module begins with a sentence."""
    first = {
        m: (ast.get_docstring(ast.parse(m.read_text())) or " ").splitlines()[0] for m in MODULES
    }
    assert [relative(m) for m, line in first.items() if line.rstrip()[-1:] not in set(".?!:")] == []


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.name)
def test_provider_has_the_five_files(provider: Path) -> None:
    """Whoever knows one provider knows them all."""
    assert {p.name for p in provider.glob("*.py")} - {"__init__.py"} == FIVE_FILES


def test_domain_imports_only_itself_columns_and_the_standard_library() -> None:
    """The rules outlive every dependency."""
    assert foreign("domain", {"numpy", "polars"}) == []


def test_wire_imports_only_itself_cryptography_and_the_standard_library() -> None:
    """How things look as bytes depends on nothing that decides or that does I/O."""
    assert foreign("wire", {"cryptography", "hpack", "numpy", "typing_extensions"}) == []


def protocols() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Every port."""
    for module in sorted((SRC / "ports").glob("*.py")):
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(parent, ast.Name) and parent.id == "Protocol" for parent in node.bases
            ):
                yield module, node


def methods_of(protocol: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The methods of a class, in order."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in protocol.body if isinstance(node, kinds)]


def is_a_promise(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a method is a docstring, with or without an ellipsis."""
    return all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in method.body
    )


@pytest.mark.parametrize(
    ("module", "port"), list(protocols()), ids=lambda x: getattr(x, "name", "")
)
def test_port_is_narrow_and_holds_no_code(module: Path, port: ast.ClassDef) -> None:
    """A port with more than eight methods is two ports; code in it would be a third engine."""
    methods = methods_of(port)
    assert len(methods) <= WIDEST_PORT, f"{relative(module)}: {port.name}"
    assert [m.name for m in methods if not is_a_promise(m)] == []
    assert [m.name for m in methods if ast.get_docstring(m) is None] == []


def sql_files() -> list[Path]:
    """Files of named statements; migrations and schemas have none."""
    files = sorted(SRC.rglob("*.sql"))
    return [f for f in files if "-- name:" in f.read_text()]


@pytest.mark.parametrize("file", sql_files(), ids=relative)
def test_every_sql_statement_says_what_it_is_for(file: Path) -> None:
    """Each `-- name:` is used once and followed by a sentence."""
    lines = file.read_text().splitlines()
    names = [line for line in lines if line.startswith("-- name:")]
    silent = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("-- name:") and not after.startswith("-- ")
    ]
    assert silent == []
    assert len(names) == len(set(names))


def test_line_has_no_way_back() -> None:
    """A hand-off never reaches a stage that stands before the one that wrote it."""
    after: dict[str, set[str]] = {
        writer.name: {reader.name for reader in LINE if set(reader.consumes) & set(writer.produces)}
        for writer in LINE
    }

    def reaches(start: str, goal: str, seen: frozenset[str] = frozenset()) -> bool:
        return any(
            step == goal or (step not in seen and reaches(step, goal, seen | {step}))
            for step in after[start]
        )

    assert [stage.name for stage in LINE if reaches(stage.name, stage.name)] == []


def test_line_names_modules_that_exist_and_roles_that_run() -> None:
    """Workers start from the table."""
    for stage in LINE:
        assert stage.role in ROLES
        home = "clarion.adapters" if stage.name == "facts" else "clarion.stages"
        import_module(f"{home}.{stage.name}")
    assert {stage.role for stage in LINE} == set(ROLES)


def test_every_hand_off_is_written_by_the_stage_before() -> None:
    """What a stage takes, another one (or authoring, through the store) gives."""
    given = {kind for stage in LINE for kind in stage.produces}
    taken = {kind for stage in LINE for kind in stage.consumes}
    assert {kind.__name__ for kind in taken - given} == {"CampaignDue"}
    assert given - taken == set()


def test_every_setting_does_something() -> None:
    """A setting that nobody reads is a promise that nobody keeps."""
    readers = [
        module
        for module in MODULES
        if {SRC / "app", SRC / "cli"} & {*module.parents} and module.name != "setting_tree.py"
    ]
    read = {
        node.attr
        for module in readers
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert [s.name for s in table() if s.name.partition(".")[2] not in read] == []


LOGGERS = {"_log", "_LOG", "_logger", "_LOGGER", "logger", "log", "logging"}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged_literals(module: Path) -> Iterator[str]:
    """Places where a log event is a text instead of a member of `LogEvent`."""
    for node in ast.walk(ast.parse(module.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called, first = node.func, node.args[0]
        if (
            isinstance(called, ast.Attribute)
            and called.attr in LEVELS
            and isinstance(called.value, ast.Name)
            and called.value.id in LOGGERS
            and isinstance(first, (ast.Constant, ast.JoinedStr))
        ):
            yield f"{relative(module)}:{node.lineno}"


def test_log_events_come_from_the_catalogue() -> None:
    """An alert may rely on the name of an event, so names are members of `LogEvent`."""
    assert [place for module in MODULES for place in logged_literals(module)] == []


def test_metrics_come_from_the_catalogue() -> None:
    """Only `clarion.telemetry` makes metrics."""
    makers = {
        relative(module)
        for module in MODULES
        for _, name in imports_of(module)
        if name.startswith("prometheus_client")
    }
    assert makers == {"src/clarion/telemetry/metrics.py"}


def test_every_metric_has_one_kind_and_one_sentence() -> None:
    """A metric is a counter, a gauge or a histogram."""
    kinds = [set(COUNTERS), set(GAUGES), set(HISTOGRAMS)]
    assert sum(len(kind) for kind in kinds) == len(set(Metric)) == len(set().union(*kinds))
    assert all(
        spec.help.endswith(".") for kind in (COUNTERS, GAUGES, HISTOGRAMS) for spec in kind.values()
    )
    assert all(metric.endswith("_total") for metric in COUNTERS)


def test_only_commands_print() -> None:
    """Everything else logs."""
    calls = [
        f"{relative(module)}:{node.lineno}"
        for module in MODULES
        if SRC / "cli" not in module.parents
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert calls == []


def test_providers_and_their_simulators_keep_their_ports() -> None:
    """Each network's client is a `Provider`, each simulator a `Simulator`."""
    for provider in PROVIDERS:
        for room, wanted in (
            ("client", {"send", "check_message", "check_token", "close"}),
            ("simulator", {"answer", "closed", "counts"}),
        ):
            module = import_module(f"clarion.providers.{provider.name}.{room}")
            own = [
                kind
                for _, kind in inspect.getmembers(module, inspect.isclass)
                if kind.__module__ == module.__name__ and wanted <= set(dir(kind))
            ]
            assert own, f"{provider.name}.{room} implements no port"
