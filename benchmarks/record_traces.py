"""Record the traces that are shipped as presets: each network built by its library without weights, run once.

python benchmarks/record_traces.py [NAME ...]           (needs transformers, and diffusers 0.42.1 for the generators)
python benchmarks/record_traces.py --check [NAME ...]   the FLOPs of the shipped ones beside torch's FlopCounterMode,
                                                        of whole generators too

Configurations are the defaults of the classes, which are those of the files that they name, and what is given here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import roofline
from roofline.classes import frozen
from roofline.models.generators.generator import GENERATORS, Generator
from roofline.models.generators.statement import PARTS
from roofline.models.sources import TRACES
from roofline.models.traced.written import write_trace
from roofline.tracing.hollow import hollow
from roofline.tracing.inputs import read_inputs


@frozen
class Recipe:
    """How a network is built, ``library:Class``, with which fields, what it is given, and where the fields are from.

    ``call``: the method that runs, or one of ``CALLS``. ``frame``: of a network that decodes a video frame by frame,
    which of them runs.
    ``moot``: a line whose conditions change nothing that is counted.
    """

    build: str
    fields: Mapping[str, Any]
    inputs: Mapping[str, str]
    dims: Mapping[str, int]
    published: str
    call: str = "forward"
    frame: int | None = None
    moot: str = ""


def _images(build: str, size: int, published: str, **fields: Any) -> Recipe:
    return Recipe(build, fields, {"pixel_values": "B,3,image_size,image_size"}, {"image_size": size}, published)


def _fixed(build: str, size: int, published: str, **fields: Any) -> Recipe:
    return Recipe(build, fields, {"pixel_values": f"B,3,{size},{size}"}, {}, published)


def _sounds(build: str, published: str, **fields: Any) -> Recipe:
    return Recipe(build, fields, {"input_values": "B,samples"}, {"samples": 160_000}, published)


_LARGE: dict[str, Any] = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_STABLE: dict[str, Any] = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}

_XXL: dict[str, Any] = {
    "d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "d_kv": 64, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
_VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "layers_per_block": 2,
}  # fmt: skip
_SDXL: dict[str, Any] = {
    "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280], "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
_CONTIGUOUS = "upsampling.py:171"
"""Where diffusers makes what has more than 2^31 elements contiguous, which it is."""
_CLIP_L: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
}  # fmt: skip


def _clip(build: str, published: str, **fields: Any) -> Recipe:
    return Recipe(f"transformers:{build}", {**_CLIP_L, **fields}, {"input_ids": "B,77"}, {}, published)


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
    "dit-xl-2-transformer": Recipe(
        "diffusers:DiTTransformer2DModel", {"sample_size": 32, "out_channels": 8},
        {"hidden_states": "B,4,32,32", "timestep": "int:B", "class_labels": "B"}, {}, "facebook/DiT-XL-2-256",
    ),
    "sd3-medium-transformer": Recipe(
        "diffusers:SD3Transformer2DModel",
        {"sample_size": 128, "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536,
         "pos_embed_max_size": 192},
        {"hidden_states": "B,16,height,width", "encoder_hidden_states": "B,333,4096",
         "pooled_projections": "B,2048", "timestep": "B"},
        {"height": 128, "width": 128}, "stabilityai/stable-diffusion-3-medium-diffusers",
    ),
    "flux.1-dev-transformer": Recipe(
        "diffusers:FluxTransformer2DModel", {"guidance_embeds": True},
        {"hidden_states": "B,latents,64", "encoder_hidden_states": "B,512,4096", "pooled_projections": "B,768",
         "timestep": "B", "img_ids": "float:latents,3", "txt_ids": "float:512,3", "guidance": "B"},
        {"latents": 4096}, "black-forest-labs/FLUX.1-dev",
    ),
    "sd-1.5-unet": Recipe(
        "diffusers:UNet2DConditionModel", {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        {"sample": "B,4,height,width", "timestep": "int:B", "encoder_hidden_states": "B,77,768"},
        {"height": 64, "width": 64}, "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ),
    "sdxl-unet": Recipe(
        "diffusers:UNet2DConditionModel", _SDXL,
        {"sample": "B,4,height,width", "timestep": "int:B", "encoder_hidden_states": "B,77,2048",
         "text_embeds": "B,1280", "time_ids": "float:B,6"},
        {"height": 128, "width": 128}, "stabilityai/stable-diffusion-xl-base-1.0", "conditioned",
    ),
    "wan2.1-t2v-14b-transformer": Recipe(
        "diffusers:WanTransformer3DModel", {},
        {"hidden_states": "B,16,frames,height,width", "timestep": "int:B", "encoder_hidden_states": "B,512,4096"},
        {"frames": 21, "height": 60, "width": 104}, "Wan-AI/Wan2.1-T2V-14B-Diffusers",
    ),
    "wan2.1-t2v-1.3b-transformer": Recipe(
        "diffusers:WanTransformer3DModel", {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
        {"hidden_states": "B,16,frames,height,width", "timestep": "int:B", "encoder_hidden_states": "B,512,4096"},
        {"frames": 21, "height": 60, "width": 104}, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    ),
}  # fmt: skip
"""Networks that are presets."""

COMPONENTS: dict[str, Recipe] = {
    "clip-l-text": _clip("CLIPTextModelWithProjection", "openai/clip-vit-large-patch14", projection_dim=768),
    "clip-l-text-pooled": _clip("CLIPTextModel", "openai/clip-vit-large-patch14"),
    "clip-bigg-text": _clip(
        "CLIPTextModelWithProjection", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", projection_dim=1280,
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu",
    ),
    "t5-xxl-encoder": Recipe(
        "transformers:T5EncoderModel", {**_XXL, "vocab_size": 32128}, {"input_ids": "B,tokens"}, {"tokens": 512},
        "google/t5-v1_1-xxl",
    ),
    "umt5-xxl-encoder": Recipe(
        "transformers:UMT5EncoderModel", {**_XXL, "vocab_size": 256384},
        {"input_ids": "B,tokens", "attention_mask": "B,tokens"}, {"tokens": 512}, "google/umt5-xxl",
    ),
    "sd-vae": Recipe(
        "diffusers:AutoencoderKL", _VAE, {"z": "B,4,height,width"}, {"height": 32, "width": 32},
        "stabilityai/sd-vae-ft-mse", "decode", moot=_CONTIGUOUS,
    ),
    "sd3-vae": Recipe(
        "diffusers:AutoencoderKL",
        {**_VAE, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False},
        {"z": "B,16,height,width"}, {"height": 128, "width": 128},
        "stabilityai/stable-diffusion-3-medium-diffusers and black-forest-labs/FLUX.1-dev", "decode", moot=_CONTIGUOUS,
    ),
    **{
        f"wan2.1-vae-{said}": Recipe(
            "diffusers:AutoencoderKLWan", {}, {"z": "B,16,1,height,width"}, {"height": 60, "width": 104},
            "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", frame=frame,
        )
        for frame, said in ((0, "first"), (2, "later"))
    },
}  # fmt: skip
"""Networks that generators alone are made of, beside those above."""

EVERY = RECIPES | COMPONENTS


class Frame(torch.nn.Module):
    """One frame of the latents of a video through Wan's decoder, which keeps features of the frames before.

    The first has none before it. The second does the work of later ones: what they keep, it fills with zeros.
    """

    def __init__(self, vae: Any, frame: int) -> None:
        super().__init__()
        self.vae = vae.eval()
        self.kept = self._features(frame)

    def _features(self, frame: int) -> list[Any]:
        """What is kept of the frames before: channels, frames and side of each as a multiple of the latents' side."""
        side = 2
        self.vae.clear_cache()
        kept = [*self.vae._feat_map]
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            held = _fake(self.vae)
            z = torch.empty(1, self.vae.config.z_dim, 1, side, side)
            for place in range(frame):
                given = {"feat_cache": kept, "feat_idx": [0], "first_chunk": place == 0}
                torch.func.functional_call(self.vae.decoder, held["decoder"], (z,), given)
        return [
            each if each is None or isinstance(each, str) else (*each.shape[1:3], each.shape[3] // side)
            for each in kept
        ]

    def forward(self, z: Any) -> Any:
        """The frames of the video that one of the latents becomes."""
        batch, height, width = z.shape[0], z.shape[3], z.shape[4]
        kept = [
            each if each is None or isinstance(each, str)
            else z.new_empty((batch, each[0], each[1], each[2] * height, each[2] * width))
            for each in self.kept
        ]  # fmt: skip
        first = all(each is None for each in kept)
        x = self.vae.decoder(self.vae.post_quant_conv(z), feat_cache=kept, feat_idx=[0], first_chunk=first)
        return torch.clamp(x, min=-1.0, max=1.0)


def _conditioned(unet: Any) -> Callable[..., Any]:
    """The pass of a UNet that takes a pooled text and sizes of an image in a mapping."""
    run = unet.forward

    def forward(sample: Any, timestep: Any, encoder_hidden_states: Any, text_embeds: Any, time_ids: Any) -> Any:
        added = {"text_embeds": text_embeds, "time_ids": time_ids}
        return run(sample, timestep, encoder_hidden_states, added_cond_kwargs=added)

    return forward


CALLS: dict[str, Callable[[Any], Callable[..., Any]]] = {"conditioned": _conditioned}
"""Passes whose inputs are not tensors by name, by what a recipe calls them."""


def _fake(module: Any) -> dict[str, dict[str, Any]]:
    """Tensors without data in place of the parameters and buffers of each child of a module."""
    return {
        child: {
            name: torch.empty_strided(each.size(), each.stride(), dtype=each.dtype)
            for named in (part.named_parameters(), part.named_buffers())
            for name, each in named
        }
        for child, part in module.named_children()
    }


def build(recipe: Recipe) -> tuple[Any, str]:
    """The module of a recipe, and what its trace says that it comes from."""
    library, _, name = recipe.build.partition(":")
    room: Any = import_module(library)
    made: Callable[..., Any] = getattr(room, name)
    with hollow():
        module = made(made.config_class(**recipe.fields)) if library == "transformers" else made(**recipe.fields)
    if recipe.frame is not None:
        module = Frame(module, recipe.frame)
    module.forward = CALLS[recipe.call](module) if recipe.call in CALLS else getattr(module, recipe.call)
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
    for name in names or (*EVERY, *GENERATORS):
        model = roofline.load_model(name if name not in COMPONENTS else PARTS / f"{name}.json")
        expression = roofline.formula(model, count="square").expression
        own = int(expression.subs(dict.fromkeys(expression.free_symbols, 3)))
        seen = counted(EVERY[name], 3) if name in EVERY else generated(GENERATORS[name], 3)
        print(f"{name}: {own:,} FLOPs at batch 3, torch counts {seen:,}")
        wrong += own != seen
    return wrong


def generated(made: Generator, batch: int) -> int:
    """What torch's counter sees of all passes that a pipeline runs for a batch of images or videos."""
    sizes = {name: int(getattr(made, name)) for name in ("height", "width", "frames", "denoise_steps")}
    total = 0
    for each in made.components:
        twice = {name: 2 if made.guided and each.guided == name else 1 for name in ("batch", "runs")}
        dims = {letter: int(extent(sizes)) for letter, extent in each.dims.items()}
        recipe = replace(EVERY[each.trace], dims=dims)
        total += twice["runs"] * int(each.runs(sizes)) * counted(recipe, twice["batch"] * batch)
    return total


def main(names: list[str]) -> int:
    """Write the named traces, or all, and say what each holds."""
    if names[:1] == ["--check"]:
        return check(names[1:])
    for name in names or EVERY:
        recipe = EVERY[name]
        module, source = build(recipe)
        model = roofline.trace(module, recipe.inputs, dims=recipe.dims, name=name, source=source)
        path = (TRACES if name in RECIPES else PARTS) / f"{name}.json"
        trace = model.config.trace
        asked = tuple(each for each in trace.conditions if each.where != recipe.moot)
        write_trace(replace(trace, conditions=asked), path)
        print(f"{name}: {model.parameters:,} parameters, {path.stat().st_size / 1e3:.0f} kB", *model.warnings, sep="; ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
