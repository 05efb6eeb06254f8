"""Own the program that goes along with evidence; nothing of ours imports it."""
