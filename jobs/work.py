"""Own the working process: an RQ worker that forks for each job of the queue `work`."""

from __future__ import annotations

import logging
import os
import time

# Imported for the forks: each job finds its modules loaded. None of them opens a connection.
import jobs.balance
import jobs.close
import jobs.create
import jobs.explain
import jobs.poll
import jobs.prove
import jobs.reconcile
import jobs.replay
import jobs.requeue
import jobs.retention
import jobs.scan
import jobs.waiting
import jobs.workbook  # noqa: F401
from config import logs
from config.settings import load
from jobs.stopping import STOP, stop_with_parent
from relay.edge.node_loading import prepare
from relay.edge.redis import connect
from relay.edge.rq import RQQueue, job_queue
from relay.errors import Unavailable

log = logging.getLogger(__name__)

RETRY_AFTER_S = 2.0


def main() -> None:
    """Work until asked to stop."""
    stop_with_parent()
    settings = load(os.environ)
    logs.configure(settings)
    prepare(settings.chains.values())
    # RQ blocks on its queue for most of a minute, which is no silence of Redis.
    client = connect(settings.redis_url, tls_verify=settings.redis_tls_verify, timeout_s=None)
    queue = job_queue(settings.secret_keys, "work", client)
    while not STOP.asked and not _has_worked(queue):
        time.sleep(RETRY_AFTER_S)
    STOP.deafen()


def _has_worked(queue: RQQueue) -> bool:
    """Work until asked to stop, and say so; False when Redis ended it."""
    # A worker hears the signals itself while it works.
    STOP.install()
    try:
        return queue.work()
    except Unavailable:
        log.warning("queue_unavailable")
        return False


if __name__ == "__main__":
    main()
