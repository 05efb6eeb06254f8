"""The reading of a chain, measured beside the event scanner that web3.py documents: the same chain, in the same run."""
