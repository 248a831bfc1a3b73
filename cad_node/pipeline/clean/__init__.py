"""Cleaning: burnt-in annotations out, tissue kept.

The networks take only a `CleanFrame`, and only `Cleaner` makes one. Everything
that goes wrong here raises `CleaningError`, so that no half-cleaned frame leaves.
What the text says leaves as coded data only (`notes`), and what a second engine
can read after the cleaning does not leave at all (`verify`).
"""

from cad_node.pipeline.clean.cleaner import DETECTORS, INPAINTERS, Cleaner
from cad_node.pipeline.clean.surroundings import Surroundings

__all__ = ["DETECTORS", "INPAINTERS", "Cleaner", "Surroundings"]
