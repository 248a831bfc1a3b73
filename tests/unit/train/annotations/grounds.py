"""Drawn tissue and a tiny network, so that no data set and no training is needed."""

import cv2
import numpy as np

from cad_node.train.annotations.data import Background
from cad_node.train.annotations.fonts import Faces
from cad_node.train.data import Sample

STROKES_ONLY = Faces(())


def tissue(seed: int, rows: int = 240, columns: int = 300):
    noise = np.random.default_rng(seed).rayleigh(1.0, (rows, columns)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.6)
    layers = 18 * np.sin(np.arange(rows) / rows * 11)[:, None]
    return np.clip(80 + layers + 70 * (smooth - smooth.mean()), 0, 255).astype(np.uint8)


def background(seed: int) -> Background:
    pixels = tissue(seed)
    sample = Sample("BUSI", f"{seed}.png", "benign", f"group {seed}", 1)
    return Background(sample, pixels, np.zeros(pixels.shape, dtype=bool))
