"""Own the delivering process: an RQ worker for the resident job, which goes on without RQ while Redis is away."""

from __future__ import annotations

import logging
import os
import time

from config import logs
from config.settings import load
from jobs import drain
from jobs.stopping import STOP, stop_with_parent
from relay.bootstrap import job_queue
from relay.edge.redis import connect
from relay.edge.rq import RQQueue
from relay.errors import Unavailable

log = logging.getLogger(__name__)

JOB = "jobs.drain.run"
# A round that ends sooner did not deliver: the job failed, or was somebody else's writing.
SHORTEST_ROUND_S = 1.0


def main() -> None:
    """Deliver until asked to stop."""
    STOP.install()
    stop_with_parent()
    settings = load(os.environ)
    logs.configure(settings)
    client = connect(settings.redis_url, tls_verify=settings.redis_tls_verify, timeout_s=2.0)
    queue = job_queue(settings, "deliver", client, job_timeout_s=2 * drain.RESIDENCE_S)
    while not STOP.asked:
        started = time.monotonic()
        if not _work_one(queue):
            log.warning("delivering_without_queue")
            drain.run_until(lambda: _is_rung(queue))
        if time.monotonic() - started < SHORTEST_ROUND_S and not STOP.asked:
            time.sleep(SHORTEST_ROUND_S)


def _work_one(queue: RQQueue) -> bool:
    try:
        queue.ensure(JOB)
        return queue.work_one()
    except Unavailable:
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
