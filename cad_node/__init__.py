"""Breast-ultrasound CAD that lives in the PACS network.

For research and for decision support under a radiologist's eyes; not a
certified medical device.
"""

import os

# Since 1.29 ONNX Runtime reports to its makers by default, under a number of the device; asked when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

__all__ = ["__version__"]
