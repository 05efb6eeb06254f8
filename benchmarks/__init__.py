"""Own the measurements: the product and a naive build of the same job, side by side on one machine."""
