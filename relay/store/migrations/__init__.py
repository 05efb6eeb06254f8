"""Own the history of the tables. A new revision is written by `make migration NAME="what is now true"`, then read."""
