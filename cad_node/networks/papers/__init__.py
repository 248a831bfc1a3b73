"""The networks of the two papers, by name: each a classifier and the encoder of a segmentation network.

They are here to be compared with (`cad-node compare`), not to be shipped. MONAI
gives ResNet, DenseNet and U-Net; AlexNet, VGG and GoogLeNet are tables. Parameter
names follow torchvision's, so that its published ImageNet files load.
"""

from cad_node.networks.papers.backbone import Backbone, Classifier, Segmenter
from cad_node.networks.papers.registry import BACKBONES, build_classifier, build_segmenter
from cad_node.networks.papers.weights import load_weight_file, load_weights

__all__ = [
    "BACKBONES",
    "Backbone",
    "Classifier",
    "Segmenter",
    "build_classifier",
    "build_segmenter",
    "load_weight_file",
    "load_weights",
]
