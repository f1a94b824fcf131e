"""Tokens of images and videos: ten sizes a family, against the rule of the family's own processor in transformers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from processors import rule_of

from roofline.errors import WorkloadError
from roofline.models.model import load_model
from roofline.models.towers.rules import Size, pictures

SIZES = [(1, 1), (28, 28), (224, 224), (336, 672), (640, 480), (1024, 768), (1080, 1920), (1500, 31), (4096, 2160)]
SIZES += [(9000, 60)]
TEXT = {
    "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 9, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "head_dim": 16,
}  # fmt: skip


def tower(model_type: str, text: str, vision: dict[str, Any] | None = None, **outer: Any) -> Any:
    """The tower of a network of a type, with the fields that its class has where a file states none."""
    plain = {name: value for name, value in TEXT.items() if name != "head_dim" or "qwen2" not in text}
    fields = {"model_type": model_type, "text_config": {**plain, "model_type": text}, "vision_config": vision or {}}
    return load_model({**fields, **outer}).tower


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bounds", [(56 * 56, 28 * 28 * 1280), (3136, 12_845_056)])
def test_images_of_qwen(size: tuple[int, int], bounds: tuple[int, int]) -> None:
    pytest.importorskip("transformers")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    width, height = size
    stated = {"min_pixels": bounds[0], "max_pixels": bounds[1]}
    for kind, text, patch in (("qwen2_5_vl", "qwen2_5_vl_text", 14), ("qwen3_vl", "qwen3_vl_text", 16)):
        seen = pictures(tower(kind, text, {}, processor=stated), Size(width, height), 3)
        edges = {"shortest_edge": bounds[0], "longest_edge": bounds[1]}
        processor = Qwen2VLImageProcessorPil(size=edges, patch_size=patch)
        patches = processor.get_number_of_image_patches(height, width)
        assert (seen.sequences, seen.patches, seen.tokens) == (3, patches, 3 * (patches // 4))


@pytest.mark.parametrize("frames", [4, 7, 64, 768])
@pytest.mark.parametrize("size", SIZES[2:-1:2])
def test_videos_of_qwen(size: tuple[int, int], frames: int) -> None:
    each = rule_of("models/qwen2_vl/video_processing_qwen2_vl.py", "smart_resize")["smart_resize"]
    every = rule_of("models/qwen3_vl/video_processing_qwen3_vl.py", "smart_resize")["smart_resize"]
    width, height = size
    of_frame = each(height, width, factor=28, min_pixels=128 * 28 * 28, max_pixels=28 * 28 * 768)
    seen = pictures(tower("qwen2_5_vl", "qwen2_5_vl_text"), Size(width, height, frames), 1)
    assert (seen.sequences, seen.patches) == (-(-frames // 2), of_frame[0] * of_frame[1] // 14**2)
    bounds = {"min_pixels": 4096, "max_pixels": 25_165_824}
    of_all = every(frames, height, width, 2, 32, **bounds)
    seen = pictures(tower("qwen3_vl", "qwen3_vl_text", video_processor=bounds), Size(width, height, frames), 1)
    assert (seen.sequences, seen.patches) == (-(-frames // 2), of_all[0] * of_all[1] // 16**2)


def test_a_processors_file_beside_the_config_is_read(tmp_path: Any) -> None:
    fields = {"model_type": "qwen3_vl", "text_config": {**TEXT, "model_type": "qwen3_vl_text"}, "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    edges = {"size": {"longest_edge": 16_777_216, "shortest_edge": 65_536}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(edges))
    found = load_model(tmp_path).tower
    assert found is not None
    assert (found.min_pixels, found.max_pixels) == (65_536, 16_777_216)


def test_what_is_too_thin_is_refused() -> None:
    with pytest.raises(WorkloadError, match="9000x30: its longer side is more than 200 times"):
        pictures(tower("qwen3_vl", "qwen3_vl_text"), Size(9000, 30), 1)
