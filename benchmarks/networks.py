"""How long a lesion network takes an image, by encoder and by the size that it looks at.

One image and its mirrored view, the U-Net alone: it is nearly all of the time. The
encoders take turns, so that other work on the machine slows all of them alike; the
ratio is to the encoder and size that ship. MONAI's own EfficientNet-B0 stands beside
the Lite family, from which it differs by squeeze-and-excitation and swish.
"""

from __future__ import annotations

import statistics
import time

import torch
from monai.networks.nets.flexible_unet import FlexibleUNet
from torch import Tensor, nn

from cad_node.networks import load_bundle
from cad_node.networks.efficientnet_lite import ENCODERS
from cad_node.networks.lesion_network import NetworkConfig
from cad_node.networks.registry import encoder_of
from cad_node.resources import models_dir

SIZES = (192, 224, 256, 320, 384)
OTHERS = ("efficientnet-b0",)
ROUNDS = 7


def main() -> None:
    shipped = load_bundle(models_dir() / "breast-us")
    at = (encoder_of(shipped.architecture), shipped.size_px)
    seconds = measure([*ENCODERS, *OTHERS], sorted({*SIZES, shipped.size_px}))
    print(f"medians of {ROUNDS} turns, {torch.get_num_threads()} threads")
    for (encoder, size), taken in seconds.items():
        print(
            f"{taken * 1000:7.0f} ms  {taken / seconds[at]:5.2f} of what ships  {encoder} at {size} x {size} px"
        )


def measure(encoders: list[str], sizes: list[int]) -> dict[tuple[str, int], float]:
    """Median seconds for an image and its mirrored view, by encoder and size."""
    networks = {encoder: _build(encoder) for encoder in encoders}
    pairs = [(encoder, size) for encoder in encoders for size in sizes]
    taken: dict[tuple[str, int], list[float]] = {pair: [] for pair in pairs}
    for turn in range(ROUNDS + 1):
        for encoder, size in pairs:
            image = torch.randn(2, 1, size, size).contiguous(memory_format=torch.channels_last)
            seconds = _time(networks[encoder], image)
            # The first turn allocates and warms up.
            if turn:
                taken[encoder, size].append(seconds)
    return {pair: statistics.median(times) for pair, times in taken.items()}


def _build(encoder: str) -> nn.Module:
    decoder = NetworkConfig().decoder_channels
    network = FlexibleUNet(1, 1, encoder, pretrained=False, decoder_channels=decoder).eval()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _time(network: nn.Module, image: Tensor) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        network(image)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
