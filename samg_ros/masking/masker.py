"""SAM-G as one call: frames in, masked frames out, as one batch on one device."""

from __future__ import annotations

from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.finders import make_finder
from samg_ros.masking.reference import Reference
from samg_ros.masking.result import MaskBatch
from samg_ros.models.base import FeatureExtractor, Segmenter


class SamgMasker:
    """Finds a reference's targets in frames.

    :param features: the second feature map (DINOv2); None uses the segmenter's own alone.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        features: FeatureExtractor | None,
        reference: Reference,
        config: MaskerConfig,
    ) -> None:
        self.config = config
        self.device = segmenter.device
        self.target_names = reference.names
        self._look = Encoders(segmenter, features)
        self._find = make_finder(self._look, reference, config)

    def __call__(self, images: Tensor) -> MaskBatch:
        """Mask a batch of frames of one size.

        :param images: uint8 [B, H, W, 3] RGB, on any device.
        """
        images = images.to(self.device, non_blocking=True)
        return self._find(images, self._look(images))
