"""Own the naive worker: one SimpleWorker, with the delivery job already imported."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue, SimpleWorker

import benchmarks.naive.jobs  # noqa: F401  # imported here once, not inside the first job

QUEUE = "deliver"


def main() -> None:
    """Work until told to stop."""
    redis = Redis.from_url(os.environ["REDIS_URL"])
    SimpleWorker([Queue(QUEUE, connection=redis)], connection=redis).work(with_scheduler=True, logging_level="CRITICAL")


if __name__ == "__main__":
    main()
