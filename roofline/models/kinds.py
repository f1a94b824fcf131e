"""What kind of network a configuration is of."""

from __future__ import annotations

from roofline.models.outline import Outline
from roofline.models.shapes.config import Config
from roofline.models.shapes.decoder_config import DecoderConfig
from roofline.models.shapes.encoder_config import EncoderConfig
from roofline.models.shapes.encoder_decoder_config import EncoderDecoderConfig
from roofline.models.shapes.state_space import StateSpaceConfig
from roofline.models.shapes.two_towers import TwoTowersConfig
from roofline.options.words import ModelKind


def kind_of(config: Config | Outline) -> ModelKind:
    """Decoder, hybrid (recurrences beside attention), one that sees, and so on, as ``models list --kind`` has them."""
    if isinstance(config, Outline):
        return "generator" if config.components else "traced"
    if isinstance(config, DecoderConfig):
        if config.vision is not None or config.sound is not None:
            return "vlm" if config.sound is None else "audio" if config.vision is None else "omni"
        return "hybrid" if config.recurrence is not None else "decoder"
    if isinstance(config, EncoderConfig) or (isinstance(config, TwoTowersConfig) and config.images is None):
        return "encoder"
    if isinstance(config, EncoderDecoderConfig):
        return "encoder-decoder"
    return "state-space" if isinstance(config, StateSpaceConfig) else "vision"
