"""Own the naive build: the same job as most would write it first, kept honest and working so that the comparison is fair."""
