"""The architecture, held: who may import whom, how long things are, and what must never be written."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"PATH": os.environ["PATH"], "SECRET_KEY": "k" * 48, "UPSTREAM_APPID": "a", "UPSTREAM_SECRET": "s" * 32}

CORE = {"relay.errors", "relay.core"}
INSIDE = CORE | {"relay.ports", "relay.store", "relay.flows"}
RIM = INSIDE | {"config", "relay.edge", "relay.bootstrap"}
# A layer is the longest of these names that a module's begins with; it may import itself and what stands beside it.
ALLOWED = {
    "relay": set(),
    "relay.errors": set(),
    "relay.core": {"relay.errors"},
    "relay.ports": CORE,
    "relay.store": CORE,
    "relay.edge": CORE | {"relay", "relay.ports"},
    "relay.flows": INSIDE,
    "relay.evidence": set(),
    "config": CORE,
    "config.gunicorn": {"config", "relay.errors", "relay.web"},
    "relay.bootstrap": RIM,
    "relay.web": INSIDE
    | {"config", "relay", "relay.bootstrap", "relay.web.api", "relay.web.console", "relay.web.finance"},
    "relay.web.api": INSIDE | {"relay", "relay.bootstrap", "relay.web"},
    "relay.web.console": INSIDE | {"relay.bootstrap", "relay.web"},
    "relay.web.finance": INSIDE | {"relay.bootstrap", "relay.edge", "relay.web", "relay.web.console"},
    "relay.cli": RIM | {"relay"},
    "relay.__main__": {"relay.cli"},
    "relay.sandbox": RIM | {"relay", "relay.web"},
    "jobs": RIM | {"relay"},
    "wsgi": RIM | {"relay.web"},
}
# Modules that may compare secrets plainly, each with its reason.
PLAIN_COMPARISONS = {"relay.flows.committer": "both signatures have verified already"}

SECRET_WORDS = {"sign", "signature", "mac", "token", "secret"}
MONEY_WORDS = {"micros", "amount", "amounts"}


def paths(*places: str) -> list[Path]:
    found = [path for place in places for path in sorted((ROOT / place).rglob("*.py"))]
    return [path for path in found if path.parent.name != "versions"]


PRODUCTION = [*paths("relay", "jobs", "config"), ROOT / "wsgi.py"]
EVERYTHING = [*PRODUCTION, *paths("tests", "benchmarks")]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PRODUCTION}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def layer_of(module: str) -> str:
    fitting = [layer for layer in ALLOWED if module == layer or module.startswith(f"{layer}.")]
    return max(fitting, key=len)


def imports_of(path: Path, tree: ast.AST | None = None) -> set[str]:
    """The modules a file imports, by whole name; `from package import module` means the module."""
    found = set()
    for node in ast.walk(tree or tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in whole}
    return found


def ours(imported: set[str]) -> set[str]:
    return {
        name for name in imported if name.split(".")[0] in {"relay", "jobs", "config", "wsgi", "tests", "benchmarks"}
    }


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_layers_import_only_what_is_below_them() -> None:
    """The order is errors <- core <- ports, store, edge <- flows <- bootstrap <- web, cli, jobs, sandbox, wsgi."""
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        for imported in sorted(ours(imports_of(path)))
        if imported.split(".")[0] in {"tests", "benchmarks"}
        or layer_of(imported) not in ALLOWED[layer_of(module)] | {layer_of(module)}
    ]
    assert wrong == []


def test_every_module_has_a_layer() -> None:
    """A new room is entered into the rule before it is used: nothing falls back to the package's own layer."""
    assert [module for module in MODULES if layer_of(module) == "relay"] == ["relay"]


def test_no_module_imports_itself_through_others() -> None:
    """A cycle has no first."""
    graph = {module: ours(imports_of(path)) & set(MODULES) - {module} for module, path in MODULES.items()}
    while leaves := [module for module, imported in graph.items() if not imported & set(graph)]:
        for module in leaves:
            del graph[module]
    assert graph == {}


def test_imports_stand_at_the_top() -> None:
    """What a module needs is read from its head, and costs its time at the start."""
    assert [module for module, path in MODULES.items() for one in functions(path) if imports_of(path, one)] == []


def test_modules_and_functions_are_short() -> None:
    """A module is read in one sitting, a function at one glance."""
    long_modules = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: lines for module, lines in long_modules.items() if lines > 400} == {}
    long_functions = {
        f"{where(path, function)} {function.name}": lines
        for path in EVERYTHING
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > 60
    }
    assert long_functions == {}


def processes() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def test_the_processes_of_the_procfile_are_the_promised_ones() -> None:
    """Platforms start processes by these names."""
    assert list(processes()) == ["release", "web", "worker", "clock"]


@pytest.mark.parametrize("process", ["release", "worker", "clock"])
def test_a_process_of_the_procfile_is_a_module(process: str) -> None:
    """`python -m` finds it."""
    python, flag, module, *_ = shlex.split(processes()[process])
    assert (python, flag) == ("python", "-m")
    assert module in MODULES
    path = MODULES[module]
    assert path.name != "__init__.py" or path.with_name("__main__.py").exists()


def test_the_release_is_a_command() -> None:
    """The command line knows it."""
    _, *command = shlex.split(processes()["release"])
    run([*command, "--help"])


def test_the_web_process_is_an_application() -> None:
    """The server finds its settings and the application."""
    program, _, settings, target = shlex.split(processes()["web"])
    assert (program, (ROOT / settings).is_file()) == ("gunicorn", True)
    module, _, name = target.partition(":")
    run(["-c", f"import {module}; {module}.{name}.wsgi_app"])


def test_every_job_name_resolves() -> None:
    """Jobs go by dotted name, so nothing but this test sees a name that has moved."""
    names = {
        node.value
        for path in PRODUCTION
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"jobs\.\w+\.\w+", node.value)
    }
    assert names, "the timetable names its jobs"
    for name in sorted(names):
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function)), name


def test_importing_the_web_process_loads_neither_web3_nor_the_sandbox() -> None:
    """web3 costs most of a second and tens of megabytes; the sandbox signs with known keys."""
    listing = "import wsgi, relay.web, sys; print(*sys.modules)"
    loaded = run(["-c", listing]).split()
    assert "relay.web" in loaded
    assert [
        name for name in loaded if name.split(".")[0] in {"web3", "eth_abi"} or name.startswith("relay.sandbox")
    ] == []


def test_the_list_of_commands_is_shown_without_loading_one() -> None:
    """A person waits for it; the database's library alone takes a second."""
    listing = (
        "import sys; from relay.__main__ import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    loaded = run(["-c", listing]).splitlines()[-1].split()
    assert "relay.cli" in loaded
    assert [name for name in loaded if name.startswith(("relay.cli.", "sqlalchemy", "relay.bootstrap"))] == [
        "relay.cli.failures"
    ]


def test_web3_is_known_to_one_module_that_only_chains_load() -> None:
    """Whoever wants a chain asks through the port; a worker that reads none starts without it."""
    assert [name for name, path in MODULES.items() if any(one.split(".")[0] == "web3" for one in imports_of(path))] == [
        "relay.edge.nodes"
    ]
    assert [name for name, path in MODULES.items() if "relay.edge.nodes" in imports_of(path)] == []
    assert "web3" not in run(["-c", "import jobs.work, sys; print(*sys.modules)"]).split()


def test_what_only_watches_or_rings_loads_no_flow_it_does_not_call() -> None:
    """A worker's first process and a clock live for ever beside the others; what they load is memory that is lost."""
    loaded = run(["-c", "import jobs.clock, jobs.worker, sys; print(*sys.modules)"]).split()
    assert [name for name in loaded if name == "relay.bootstrap" or name.startswith("relay.flows.")] == [
        "relay.flows.ring"
    ]


def test_every_setting_is_in_the_readme() -> None:
    """A setting that nobody can find is not one."""
    read = {
        node.args[0].value
        for node in ast.walk(tree_of(ROOT / "config" / "settings.py"))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        if isinstance(node.args[0].value, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", node.args[0].value)
    }
    assert "SECRET_KEY" in read
    readme = (ROOT / "README.md").read_text()
    assert [name for name in sorted(read) if f"`{name}`" not in readme] == []


def words_of(node: ast.AST) -> set[str]:
    """The words of a name or of an attribute; a database's column is compared by the database."""
    match node:
        case ast.Name(id=name):
            return set(name.lower().split("_"))
        case ast.Attribute(value=ast.Attribute(attr="c")):
            return set()
        case ast.Attribute(attr=name):
            return set(name.lower().split("_"))
        case _:
            return set()


def test_secrets_are_compared_in_constant_time() -> None:
    """`==` stops at the first difference, and the time it took tells where that was."""
    wrong = [
        where(path, node)
        for module, path in MODULES.items()
        if module not in PLAIN_COMPARISONS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        if not any(isinstance(side, ast.Constant) for side in (node.left, *node.comparators))
        if any(words_of(side) & SECRET_WORDS for side in (node.left, *node.comparators))
    ]
    assert wrong == []


def test_money_is_never_a_float() -> None:
    """No annotation, no literal, no true division on what is named as money."""
    assert [where(path, node) for path in PRODUCTION for node in ast.walk(tree_of(path)) if _floats_money(node)] == []


def _floats_money(node: ast.AST) -> bool:
    match node:
        case ast.arg(arg=name, annotation=annotation) if annotation:
            return bool(set(name.split("_")) & MONEY_WORDS) and "float" in ast.unparse(annotation)
        case ast.AnnAssign(target=target, annotation=annotation, value=value):
            is_float = "float" in ast.unparse(annotation) or isinstance(getattr(value, "value", None), float)
            return bool(words_of(target) & MONEY_WORDS) and is_float
        case ast.Assign(targets=targets, value=ast.Constant(value=float())):
            return any(words_of(target) & MONEY_WORDS for target in targets)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return bool((words_of(left) | words_of(right)) & MONEY_WORDS)
        case ast.Call(func=ast.Name(id="float"), args=[argument]):
            return bool(words_of(argument) & MONEY_WORDS)
        case ast.keyword(arg=str(name), value=ast.Constant(value=float())):
            return bool(set(name.split("_")) & MONEY_WORDS)
        case _:
            return False


def test_nothing_is_pickled() -> None:
    """Whoever can write what we unpickle runs code as us."""
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
    assert [module for module, path in MODULES.items() if imports_of(path) & forbidden] == []


def run(arguments: list[str]) -> str:
    """Run Python on the project in a process of its own and return what it says."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
