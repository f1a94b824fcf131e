"""Record the traces that are shipped as presets: each network built by its library without weights, run once.

python benchmarks/record_traces.py [NAME ...]           (needs transformers, and diffusers 0.42.1 for the generators)
python benchmarks/record_traces.py --check [NAME ...]   the FLOPs of the shipped ones beside torch's FlopCounterMode

Configurations are the defaults of the classes, which are those of the files that they name, and what is given here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import roofline
from roofline.classes import frozen
from roofline.models.sources import TRACES
from roofline.tracing.hollow import hollow
from roofline.tracing.inputs import read_inputs


@frozen
class Recipe:
    """How a network is built, ``library:Class``, with which fields, what it is given, and where the fields are from."""

    build: str
    fields: Mapping[str, Any]
    inputs: Mapping[str, str]
    dims: Mapping[str, int]
    published: str


def _images(build: str, size: int, published: str, **fields: Any) -> Recipe:
    return Recipe(build, fields, {"pixel_values": "B,3,image_size,image_size"}, {"image_size": size}, published)


def _fixed(build: str, size: int, published: str, **fields: Any) -> Recipe:
    return Recipe(build, fields, {"pixel_values": f"B,3,{size},{size}"}, {}, published)


def _sounds(build: str, published: str, **fields: Any) -> Recipe:
    return Recipe(build, fields, {"input_values": "B,samples"}, {"samples": 160_000}, published)


_LARGE: dict[str, Any] = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_STABLE: dict[str, Any] = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}

RECIPES: dict[str, Recipe] = {
    "resnet-50": _images("transformers:ResNetForImageClassification", 224, "microsoft/resnet-50", num_labels=1000),
    "swin-tiny": _fixed("transformers:SwinForImageClassification", 224, "microsoft/swin-tiny-patch4-window7-224",
                        num_labels=1000),
    "swin-base": _fixed("transformers:SwinForImageClassification", 224, "microsoft/swin-base-patch4-window7-224",
                        num_labels=1000, embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32]),
    "dinov2-base": _fixed("transformers:Dinov2Model", 224, "facebook/dinov2-base", patch_size=14, image_size=518),
    "dinov2-large": _fixed("transformers:Dinov2Model", 224, "facebook/dinov2-large", patch_size=14, image_size=518,
                            **_LARGE),
    "siglip-so400m": _fixed(
        "transformers:SiglipVisionModel", 384, "google/siglip-so400m-patch14-384", image_size=384, patch_size=14,
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16,
    ),
    "wav2vec2-base": _sounds("transformers:Wav2Vec2Model", "facebook/wav2vec2-base"),
    "wav2vec2-large": _sounds("transformers:Wav2Vec2Model", "facebook/wav2vec2-large-lv60", intermediate_size=4096,
                              **_LARGE, **_STABLE),
    "hubert-base": _sounds("transformers:HubertModel", "facebook/hubert-base-ls960"),
    "hubert-large": _sounds("transformers:HubertModel", "facebook/hubert-large-ll60k", intermediate_size=4096,
                            **_LARGE, **_STABLE),
    "dit-xl-2": Recipe(
        "diffusers:DiTTransformer2DModel", {"sample_size": 32, "out_channels": 8},
        {"hidden_states": "B,4,32,32", "timestep": "int:B", "class_labels": "B"}, {}, "facebook/DiT-XL-2-256",
    ),
    "sd3-medium-transformer": Recipe(
        "diffusers:SD3Transformer2DModel",
        {"sample_size": 128, "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536,
         "pos_embed_max_size": 192},
        {"hidden_states": "B,16,latent_size,latent_size", "encoder_hidden_states": "B,333,4096",
         "pooled_projections": "B,2048", "timestep": "B"},
        {"latent_size": 128}, "stabilityai/stable-diffusion-3-medium-diffusers",
    ),
    "flux.1-dev-transformer": Recipe(
        "diffusers:FluxTransformer2DModel", {"guidance_embeds": True},
        {"hidden_states": "B,latents,64", "encoder_hidden_states": "B,512,4096", "pooled_projections": "B,768",
         "timestep": "B", "img_ids": "float:latents,3", "txt_ids": "float:512,3", "guidance": "B"},
        {"latents": 4096}, "black-forest-labs/FLUX.1-dev",
    ),
    "wan2.1-t2v-1.3b-transformer": Recipe(
        "diffusers:WanTransformer3DModel", {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
        {"hidden_states": "B,16,frames,height,width", "timestep": "int:B", "encoder_hidden_states": "B,512,4096"},
        {"frames": 21, "height": 60, "width": 104}, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    ),
}  # fmt: skip


def build(recipe: Recipe) -> tuple[Any, str]:
    """The module of a recipe, and what its trace says that it comes from."""
    library, _, name = recipe.build.partition(":")
    room: Any = import_module(library)
    made: Callable[..., Any] = getattr(room, name)
    with hollow():
        module = made(made.config_class(**recipe.fields)) if library == "transformers" else made(**recipe.fields)
    return module, f"{name} of {library} {room.__version__}, shaped as {recipe.published}"


def counted(recipe: Recipe, batch: int) -> int:
    """What torch's counter sees of a forward pass over tensors without data, attention as the math that it is."""
    with hollow():
        module = build(recipe)[0].eval()
    sizes = {**recipe.dims, "B": batch}
    math = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), math:
        held = {
            name: torch.empty_strided(each.size(), each.stride(), dtype=each.dtype)
            for named in (module.named_parameters(), module.named_buffers())
            for name, each in named
        }
        given = {}
        for each in read_inputs(recipe.inputs):
            shape = [sizes[size] if isinstance(size, str) else size for size in each.sizes]
            given[each.name] = torch.empty(shape, dtype=torch.int64 if each.holds == "int" else torch.float32)
        with FlopCounterMode(display=False) as seen:
            torch.func.functional_call(module, held, (), given)
    return int(seen.get_total_flops())


def check(names: list[str]) -> int:
    """Say how far the FLOPs of shipped traces are from torch's; how many are not the same."""
    wrong = 0
    for name in names or RECIPES:
        model = roofline.load_model(name)
        expression = roofline.formula(model, count="square").expression
        own, seen = int(expression.subs(dict.fromkeys(expression.free_symbols, 3))), counted(RECIPES[name], 3)
        print(f"{name}: {own:,} FLOPs at batch 3, torch counts {seen:,}")
        wrong += own != seen
    return wrong


def main(names: list[str]) -> int:
    """Write the named traces, or all, and say what each holds."""
    if names[:1] == ["--check"]:
        return check(names[1:])
    for name in names or RECIPES:
        recipe = RECIPES[name]
        module, source = build(recipe)
        model = roofline.trace(module, recipe.inputs, dims=recipe.dims, name=name, source=source)
        path = TRACES / f"{name}.json"
        model.write_trace(path)
        print(f"{name}: {model.parameters:,} parameters, {path.stat().st_size / 1e3:.0f} kB", *model.warnings, sep="; ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
