"""Breast-ultrasound CAD that lives in the PACS network.

For research and for decision support under a radiologist's eyes; not a
certified medical device.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
