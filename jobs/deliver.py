"""Own the delivering process: an RQ worker for the resident job, which goes on without RQ while Redis is away."""

from __future__ import annotations

import logging
import os
import time

from config import logs
from config.settings import load
from jobs import drain
from jobs.stopping import STOP, stop_with_parent
from relay.edge.redis import connect
from relay.edge.rq import RQQueue, job_queue
from relay.errors import Unavailable

log = logging.getLogger(__name__)

JOB = "jobs.drain.run"
# What ends sooner was not the resident job: it failed, or somebody else wrote it.
SHORTEST_RESIDENCE_S = 1.0
# A neighbour may take the job that we put: so often another is put for us.
_TRIES = 3


def main() -> None:
    """Deliver until asked to stop."""
    STOP.install()
    stop_with_parent()
    settings = load(os.environ)
    logs.configure(settings)
    client = connect(settings.redis_url, tls_verify=settings.redis_tls_verify, timeout_s=2.0, max_connections=2)
    # At the end of its residence the job waits for its last exchanges, and must not be ended by RQ meanwhile.
    queue = job_queue(settings.secret_keys, "deliver", client, job_timeout_s=2 * drain.RESIDENCE_S)
    while not STOP.asked:
        if not _has_resided(queue) and not STOP.asked:
            log.warning("delivering_without_queue")
            drain.run_until(lambda: _is_rung(queue))
    STOP.deafen()


def _has_resided(queue: RQQueue) -> bool:
    """Run the resident job by RQ; False when Redis is away, or when what was run cannot have been it."""
    started = time.monotonic()
    try:
        for _ in range(_TRIES):
            queue.ensure(JOB)
            if queue.work_one():
                return time.monotonic() - started > SHORTEST_RESIDENCE_S
    except Unavailable:
        return False
    return False


def _is_rung(queue: RQQueue) -> bool:
    """Whether Redis is back, and has taken the next resident job."""
    try:
        queue.ensure(JOB)
    except Unavailable:
        return False
    return True


if __name__ == "__main__":
    main()
