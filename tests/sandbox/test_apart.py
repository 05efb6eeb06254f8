from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imports_of(path: Path) -> set[str]:
    """Every module a file names in an import, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_production_never_imports_the_sandbox() -> None:
    """Its processes are started by their names, so a production process cannot even hold its code."""
    files = [ROOT / "wsgi.py", *(path for room in ("relay", "jobs", "config") for path in (ROOT / room).rglob("*.py"))]
    outside = [path for path in files if "sandbox" not in path.relative_to(ROOT).parts]
    assert len(outside) > 40
    assert [path for path in outside if any(name.startswith("relay.sandbox") for name in imports_of(path))] == []
