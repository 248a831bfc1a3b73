"""The papers' networks trained and scored under one protocol: what `cad-node compare` does.

Kept apart from `train/loop.py`, which makes the network that ships: here the point
is that every network is treated alike, as the papers treated theirs.
"""
