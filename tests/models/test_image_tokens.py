"""Tokens of images and videos: ten sizes a family, against the rule of the family's own processor in transformers."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from processors import rule_of

from roofline.errors import WorkloadError
from roofline.models.model import load_model
from roofline.models.towers.rules import Size, pictures

SIZES = [(1, 1), (28, 28), (224, 224), (336, 672), (640, 480), (1024, 768), (1080, 1920), (1500, 31), (4096, 2160)]
SIZES += [(9000, 60)]
TEXT = {
    "hidden_size": 3584, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 9, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "head_dim": 16,
}  # fmt: skip


def tower(model_type: str, text: str, vision: dict[str, Any] | None = None, **outer: Any) -> Any:
    """The tower of a network of a type, with the fields that its class has where a file states none."""
    plain = {name: value for name, value in TEXT.items() if name != "head_dim" or "qwen2" not in text}
    plain |= {"intermediate_size_mlp": 8, "num_local_experts": 2} if text == "llama4_text" else {}
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


def llava_next(side: int) -> Any:
    grid = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side], [3 * side, side], [side, 3 * side]]
    own = {"image_size": side, "patch_size": 14, "model_type": "clip_vision_model"}
    return tower("llava_next", "llama", own, image_grid_pinpoints=grid), grid


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_llava_next(size: tuple[int, int]) -> None:
    width, height = size
    found, grid = llava_next(336)
    best = rule_of("image_processing_utils.py", "select_best_resolution")["select_best_resolution"]
    names = "_get_number_of_features", "_get_unpadded_features"
    rules = rule_of("models/llava_next/processing_llava_next.py", *names, select_best_resolution=best)
    self = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=grid), patch_size=14, num_additional_image_tokens=1
    )
    self._get_unpadded_features = partial(rules["_get_unpadded_features"], self)
    tokens = rules["_get_number_of_features"](self, height, width, 336, 336) - 1  # the class token is left out
    seen = pictures(found, Size(width, height), 2)
    high, wide = best([height, width], grid)
    assert (seen.sequences, seen.patches) == (2 * (high // 336 * wide // 336 + 1), 577)
    assert seen.tokens == 2 * tokens


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("least", "most"), [(1, 12), (2, 6)])
def test_tiles_of_internvl(size: tuple[int, int], least: int, most: int) -> None:
    width, height = size
    file = "models/got_ocr2/image_processing_got_ocr2.py"
    rule = rule_of(file, "get_optimal_tiled_canvas", "get_all_supported_aspect_ratios")["get_optimal_tiled_canvas"]
    columns, rows = rule((height, width), (448, 448), least, most)
    tiles = columns * rows + (columns * rows > 1)
    found = tower(
        "internvl", "qwen2", {"image_size": [448, 448]}, processor={"min_patches": least, "max_patches": most}
    )
    seen = pictures(found, Size(width, height), 1)
    assert (seen.sequences, seen.patches, seen.tokens) == (tiles, 1025, 2 + 256 * tiles)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("most", [1, 12])
def test_tiles_of_command_a(size: tuple[int, int], most: int) -> None:
    numpy = pytest.importorskip("numpy")
    width, height = size
    file = "models/cohere2_vision/image_processing_cohere2_vision.py"
    names = "get_optimal_tiled_canvas", "get_all_supported_aspect_ratios"
    columns, rows = rule_of(file, *names, np=numpy)["get_optimal_tiled_canvas"]((height, width), (512, 512), 1, most)
    tiles = columns * rows + (columns * rows > 1)
    vision = {"image_size": 512, "patch_size": 16, "vision_use_head": False}
    found = tower("cohere2_vision", "cohere2", vision, processor={"max_patches": most})
    seen = pictures(found, Size(width, height), 1)
    assert (seen.sequences, seen.patches, seen.tokens) == (tiles, 1024, 2 + (256 + 1) * tiles)


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_llama_4(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    width, height = size
    file = "models/llama4/image_processing_llama4.py"
    names = "find_supported_resolutions", "get_factors", "get_best_fit"
    rules = rule_of(file, *names, torch=torch, defaultdict=defaultdict)
    square = SimpleNamespace(height=336, width=336)
    canvases = torch.tensor(rules["find_supported_resolutions"](max_num_chunks=16, patch_size=square))
    ratio = [side // 336 for side in map(int, rules["get_best_fit"]((height, width), canvases))]
    text = rule_of("models/llama4/processing_llama4.py", "_prompt_split_image")["_prompt_split_image"](None, ratio, 144)
    found = tower("llama4", "llama4_text", {"image_size": 336, "patch_size": 14})
    seen = pictures(found, Size(width, height), 1)
    assert seen.sequences == ratio[0] * ratio[1] + (ratio[0] * ratio[1] > 1)
    assert (seen.patches, seen.tokens) == (577, text.count("<|"))


@pytest.mark.parametrize("size", SIZES)
def test_rows_of_pixtral(size: tuple[int, int]) -> None:
    width, height = size
    file = "models/pixtral/image_processing_pixtral.py"
    names = "get_resize_output_image_size", "_num_image_tokens"
    rules = rule_of(file, *names, get_image_size=lambda image, _: image)
    high, wide = rules["get_resize_output_image_size"]((height, width), size=(1540, 1540), patch_size=(28, 28))
    found = tower("mistral3", "mistral", {"image_size": 1540, "patch_size": 14})
    seen = pictures(found, Size(width, height), 1)
    assert (seen.patches, seen.tokens) == (high * wide // 14**2, high // 28 * (wide // 28 + 1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("patches", "side"), [(16384, 512), (1000, 40)])
def test_padded_images_of_kimi(size: tuple[int, int], patches: int, side: int) -> None:
    width, height = size
    rule = rule_of("models/kimi_k25/image_processing_kimi_k25.py", "navit_resize")["navit_resize"]
    high, wide = rule(height, width, 14, 2, patches, side)[1]
    bounds = {"max_patches": patches, "size": {"max_height": side, "max_width": side}}
    seen = pictures(tower("kimi_vl", "llama", {"model_type": "moonvit"}, processor=bounds), Size(width, height), 1)
    assert (seen.patches, seen.tokens) == (high * wide // 14**2, high * wide // 28**2)


@pytest.mark.parametrize("size", SIZES[1:])
def test_images_of_glm(size: tuple[int, int]) -> None:
    width, height = size
    rule = rule_of("models/glm4v/image_processing_glm4v.py", "smart_resize")["smart_resize"]
    bounds = {"min_pixels": 12544, "max_pixels": 9_633_792}
    high, wide = rule(2, height, width, **bounds)
    seen = pictures(tower("glm4v", "glm4v_text", processor=bounds), Size(width, height), 1)
    assert (seen.patches, seen.tokens) == (high * wide // 14**2, high * wide // 28**2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tokens", [280, 1120])
def test_images_of_gemma_4(size: tuple[int, int], tokens: int) -> None:
    width, height = size
    rule = rule_of("models/gemma4/image_processing_gemma4.py", "get_aspect_ratio_preserving_size")
    high, wide = rule["get_aspect_ratio_preserving_size"](height, width, 16, tokens * 9, 3)
    found = tower("gemma4", "gemma4_text", processor={"max_soft_tokens": tokens})
    seen = pictures(found, Size(width, height), 1)
    assert (seen.patches, seen.tokens) == (high * wide // 16**2, high * wide // 48**2)


@pytest.mark.parametrize("size", SIZES)
def test_images_of_minimax(size: tuple[int, int]) -> None:
    width, height = size
    rule = rule_of("models/minimax_m3_vl/image_processing_minimax_m3_vl.py", "smart_resize")["smart_resize"]
    high, wide = rule(height, width, 28, 3136, 451_584)
    own = {"num_local_experts": 2, "num_experts_per_tok": 1, "dense_intermediate_size": 8}
    fields = {"model_type": "minimax_m3_vl", "text_config": {**TEXT, **own, "model_type": "minimax_m3_vl_text"}}
    found = load_model({**fields, "vision_config": {}}).tower
    assert found is not None
    seen = pictures(found, Size(width, height), 1)
    assert (seen.patches, seen.tokens) == (high * wide // 14**2, high * wide // 28**2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [364, 512])
def test_tiles_of_idefics(size: tuple[int, int], tile: int) -> None:
    width, height = size
    file = "models/idefics3/image_processing_idefics3.py"
    names = "_resize_output_size_rescale_to_max_len", "_resize_output_size_scale_below_upper_bound"
    edges: Any = {"do_image_splitting": True, "max_image_size": {"longest_edge": tile}, "size": {"longest_edge": 1456}}
    rules = rule_of(file, *names, "get_number_of_image_patches", MAX_IMAGE_SIZE=4096)
    tiles, rows, columns = rules["get_number_of_image_patches"](SimpleNamespace(**edges), height, width)
    self = SimpleNamespace(image_token="<image>", fake_image_token="<fake>", image_seq_len=tile // 28 ** 2,
                           global_image_tag="<global-img>")  # fmt: skip
    told = rule_of("models/idefics3/processing_idefics3.py", "replace_image_token")["replace_image_token"]
    self.image_seq_len = (tile // 14) ** 2 // 4
    text = told(self, {"rows": [[rows]], "cols": [[columns]]}, 0)
    found = tower("smolvlm", "llama", {"image_size": tile, "patch_size": 14},
                  processor={name: edges[name] for name in ("max_image_size", "size")})  # fmt: skip
    seen = pictures(found, Size(width, height), 1)
    assert (seen.sequences, seen.patches) == (max(tiles, 1), (tile // 14) ** 2)
    assert seen.tokens == text.count("<") + text.replace("\n\n", "\n").count("\n")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("most", [256, 128])
def test_images_of_lfm2(size: tuple[int, int], most: int) -> None:
    file = "models/lfm2_vl/image_processing_lfm2_vl.py"
    plain = rule_of(file, "round_by_factor", "find_closest_aspect_ratio")
    names = "smart_resize", "_is_image_too_large", "_target_ratios", "_get_grid_layout"
    rules = rule_of(file, *names, lru_cache=lambda maxsize: lambda function: function, **plain)
    bounds = {"max_image_tokens": most, "encoder_patch_size": 16, "downsample_factor": 2}
    width, height = size
    across, down = rules["smart_resize"](None, height, width, min_image_tokens=64, **bounds)
    rows, columns = 1, 1
    if rules["_is_image_too_large"](None, height, width, max_pixels_tolerance=2.0, **bounds):
        self = SimpleNamespace(_target_ratios=partial(rules["_target_ratios"], None))
        columns, rows, *_ = rules["_get_grid_layout"](self, height, width, 2, 10, 512)
    told = rule_of("models/lfm2_vl/processing_lfm2_vl.py", "_build_image_tokens", "_compute_tokens_per_tile",
                   "_compute_tokens_for_image")  # fmt: skip
    own = SimpleNamespace(image_token="<image>", image_start_token="<s>", image_end_token="<e>",
                          image_thumbnail_token="<t>")  # fmt: skip
    each = told["_compute_tokens_per_tile"](None, 512, 16, 2)
    whole = told["_compute_tokens_for_image"](None, [down, across], 16, 2)
    text = told["_build_image_tokens"](own, rows, columns, each, whole, True, True)
    found = tower("lfm2_vl", "lfm2", {"vision_use_head": False}, processor={"max_image_tokens": most})
    seen = pictures(found, Size(width, height), 1)
    assert (seen.sequences, seen.tokens) == (rows * columns + (rows * columns > 1), text.count("<"))


@pytest.mark.parametrize("size", SIZES[::3])
def test_images_of_one_size(size: tuple[int, int]) -> None:
    """Gemma 3: ``image_seq_length`` of its processor; LLaVA-1.5: the patches of its crop."""
    gemma = tower("gemma3", "gemma3_text", {"image_size": 896, "patch_size": 14, "vision_use_head": False})
    llava = tower("llava", "llama", {"image_size": 336, "patch_size": 14, "model_type": "clip_vision_model"})
    seen = [pictures(each, Size(*size), 1) for each in (gemma, llava)]
    assert [(each.sequences, each.patches, each.tokens) for each in seen] == [(1, 4096, 256), (1, 577, 576)]
