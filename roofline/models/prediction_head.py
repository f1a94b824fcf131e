"""Heads that predict further tokens, as drafts of speculative decoding: :func:`prediction_head` of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roofline.errors import WorkloadError
from roofline.models.model import Model
from roofline.models.shapes.decoder_config import DecoderConfig

MTP = "mtp"
"""What the draft is called that a model brings itself."""

_BY_LAYER = ("layer_types", "no_rope_layers", "moe_layers", "indexers", "borrowing")


def prediction_head(model: Model) -> Model:
    """A head of multi-token prediction (MTP): one more layer like the last one of ``model``, behind a projection of the
    next token's embedding and of the state that the model ends with.

    Embedding and output head are those of the model: they run once more, and take no room. EAGLE's heads are built
    alike. Raises WorkloadError for what is no plain decoder.

    >>> from roofline.models.model import load_model
    >>> head = prediction_head(load_model("deepseek-v3"))
    >>> f"{head.parameters / 1e9:.1f} billion"  # 11.5 as published, without the embedding and the head that it shares
    '11.6 billion'

    Source: DeepSeek-V3 (arXiv 2412.19437), section 2.2; one module that predicts several tokens runs once for each.
    """
    config = model.config
    if (
        not (isinstance(config, DecoderConfig) and model.generates)
        or config.vision is not None
        or config.sound is not None
        or config.residual_streams is not None
        or config.blocks == "branch"
    ):
        msg = (
            f"draft {MTP}: {model.name} is no plain decoder, and its heads are not modelled; give a model as the draft"
        )
        raise WorkloadError(msg)
    last: dict[str, Any] = {name: own[-1:] for name in _BY_LAYER if (own := getattr(config, name))}
    one = config.model_copy(update={"num_hidden_layers": 1, **last})
    return replace(model, name=f"{model.name}-{MTP}", config=one, predicts=True)
