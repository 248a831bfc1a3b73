"""DICOM files to pictures of tissue with a scale, or to a reason why not.

The only room that interprets received Datasets. It changes nothing on disk and
keeps no patient data: what leaves it are domain objects, and headers for the
encoders that must repeat the patient and the study.
"""

from cad_node.read.calibration import tissue_region, tissue_spacing
from cad_node.read.frames import decode_frames
from cad_node.read.gate import gate
from cad_node.read.headers import read_header, read_headers
from cad_node.read.scan import Scan, scan_files
from cad_node.read.study import gate_image, read_study
from cad_node.read.tint import gate_pixels

__all__ = [
    "Scan",
    "decode_frames",
    "gate",
    "gate_image",
    "gate_pixels",
    "read_header",
    "read_headers",
    "read_study",
    "scan_files",
    "tissue_region",
    "tissue_spacing",
]
