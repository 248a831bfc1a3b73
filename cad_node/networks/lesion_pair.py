"""Two encoders, one for each answer: a U-Net outlines, a lesion network names the class.

Images that teach a network to be cautious about classes (more normal tissue, more cleaned
copies) cost it outlines of large, faint lesions. With an encoder each, neither pays for the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from monai.networks.nets.flexible_unet import FlexibleUNet
from torch import Tensor

from cad_node.networks.efficientnet_lite import ENCODER_NAME, load_imagenet_weights
from cad_node.networks.lesion_network import Features, LesionNetwork, read_config

_POOLED_STEPS = 3  # decoder steps that the class head pools; the finer ones only outline


class LesionPair(LesionNetwork):
    """A lesion network whose outlines come from a second U-Net, `masks`.

    Its own U-Net serves the class head alone. Parameters are those of `LesionNetwork`,
    alike for both.
    """

    def __init__(
        self,
        decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 24, 8),
        dropout: float = 0.3,
        encoder: str = ENCODER_NAME,
    ) -> None:
        super().__init__(decoder_channels, dropout, encoder)
        self.masks = FlexibleUNet(
            in_channels=1, out_channels=1, backbone=encoder, decoder_channels=decoder_channels
        )

    @property
    def segmenter(self) -> FlexibleUNet:
        """The U-Net that outlines."""
        return self.masks

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Start both encoders from ImageNet; errors as of `LesionNetwork.load_imagenet`."""
        super().load_imagenet(weights)
        load_imagenet_weights(self.masks.encoder, weights)

    def forward(self, image: Tensor) -> tuple[Tensor, Features]:
        """Lesion logits of one encoder and maps for `classify` of the other; shapes as of `LesionNetwork`."""
        encoded = self.unet.encoder(image)
        return self.masks(image), self._features(encoded, self._decode(encoded, _POOLED_STEPS))


def join_networks(masks: LesionNetwork, classes: LesionNetwork, config: Mapping[str, object]) -> LesionPair:
    """A pair that outlines exactly as `masks` and names classes exactly as `classes`.

    Both are built from `config`, on one encoder.

    Raises
    ------
    RuntimeError
        The weights do not fit `config`.
    """
    pair = build(config, classes.encoder_name)
    outlines = {f"masks.{key}": value for key, value in masks.segmenter.state_dict().items()}
    named = {key: value for key, value in classes.state_dict().items() if not key.startswith("masks.")}
    pair.load_state_dict({**named, **outlines})
    return pair.eval()


def build(config: Mapping[str, object], encoder: str = ENCODER_NAME) -> LesionPair:
    """Build the pair that `config` describes; keys and errors are those of `lesion_network.build`."""
    return LesionPair(*read_config(config), encoder=encoder)
