"""Own the entry points of background work: a few lines each that call a flow with what this process has."""
