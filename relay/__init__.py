"""Recharge Relay: a relay and reconciler for USDT deposit callbacks."""

__version__ = "0.1.0"
