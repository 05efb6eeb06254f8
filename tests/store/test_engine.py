"""What the database's own troubles come to."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from relay.errors import Unavailable
from relay.store.engine import make_engine, together, writing


def _write(engine: Engine, *, piped: bool) -> None:
    statement = text("UPDATE endpoints SET state = 'paused'")
    with writing(engine) as connection:
        if piped:
            together(connection, (statement, {}))
        else:
            connection.execute(statement)


@pytest.mark.parametrize("piped", [False, True])
def test_a_server_that_takes_no_writes_is_away_and_left(postgres_url: str, *, piped: bool) -> None:
    """So answers a standby after a failover; the next connection leads to a server that writes."""
    engine = make_engine(postgres_url, pool_size=1)
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))
        connection.commit()
    with pytest.raises(Unavailable, match="no writes"):
        _write(engine, piped=piped)
    _write(engine, piped=piped)
    engine.dispose()
