"""Own the writing of a revision: what tables.py says beyond the revisions so far. `python -m relay.store.migrations "…"`."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

from alembic import command

from relay.store.engine import make_engine, writing
from relay.store.migrate import configuration, upgrade
from relay.store.revisions import VERSIONS


def write_revision(name: str) -> None:
    """Write the next numbered revision, found by comparing the tables with a database made by the earlier ones."""
    number = f"{len(list(VERSIONS.glob('[0-9]*.py'))) + 1:04d}"
    with TemporaryDirectory() as directory:
        engine = make_engine(f"sqlite:///{directory}/earlier.db")
        if number != "0001":
            upgrade(engine)
        with writing(engine) as connection:
            settings = configuration(connection)
            settings.set_main_option("file_template", "%%(rev)s_%%(slug)s")
            command.revision(settings, name, autogenerate=True, rev_id=number)
        engine.dispose()
    for path in VERSIONS.glob(f"{number}_*.py"):
        path.write_text("".join(line for line in path.open() if "# ###" not in line))


if __name__ == "__main__":
    write_revision(sys.argv[1])
