"""What a generator is made of: the networks that its pipeline calls, how often, and in which sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.models.traced.extents import ONE, Extent, constant

Guided: TypeAlias = Literal["", "batch", "runs"]

HEIGHT, WIDTH = Extent("letter", name="height"), Extent("letter", name="width")
FRAMES, STEPS = Extent("letter", name="frames"), Extent("letter", name="denoise_steps")


@frozen
class Component:
    """A network that a pipeline calls, under the name that it has there; ``trace`` names its recording.

    ``dims``: the sizes of its letters in those of what is made. ``runs``: its passes for one image or video.
    ``guided``: what classifier-free guidance doubles, as the pipeline does it: the batch of a pass or the passes.
    ``like``: the component whose weights it has, where it is another way through the same network.
    """

    name: str
    trace: str
    dims: Mapping[str, Extent] = field(default_factory=dict)
    runs: Extent = ONE
    guided: Guided = ""
    like: str = ""


@frozen
class Generator:
    """A pipeline of diffusers as it is published, and what it makes where nothing else is asked.

    ``height`` and ``width`` in pixels, multiples of ``multiple``; ``fixed``: it makes no other size. ``frames`` of a
    video, ``fps`` a second, one more than a multiple of ``frame_multiple``. ``guided``: whether classifier-free
    guidance runs. ``makes``: what one sequence of the batch is.
    """

    name: str
    source: str
    components: tuple[Component, ...]
    denoise_steps: int
    height: int
    width: int
    guided: bool
    multiple: int = 16
    fixed: bool = False
    frames: int = 1
    fps: int = 0
    frame_multiple: int = 0
    makes: str = "generated images"


def _part(size: Extent, of: int) -> Extent:
    return Extent("floor", (size, constant(of)))


_LATENTS = {"height": _part(HEIGHT, 8), "width": _part(WIDTH, 8)}
_PACKED = {"latents": Extent("product", (_part(HEIGHT, 16), _part(WIDTH, 16)))}
_LATENT_FRAMES = Extent("sum", (_part(Extent("sum", (FRAMES, constant(-1))), 4), ONE))
_LATER_FRAMES = _part(Extent("sum", (FRAMES, constant(-1))), 4)


def _tokens(number: int) -> dict[str, Extent]:
    return {"tokens": constant(number)}


GENERATORS: dict[str, Generator] = {
    each.name: each
    for each in (
        Generator(
            "dit-xl-2", "facebook/DiT-XL-2-256, as DiTPipeline of diffusers 0.42.1 runs it",
            (
                Component("transformer", "dit-xl-2-transformer", runs=STEPS, guided="batch"),
                Component("vae", "sd-vae", _LATENTS),
            ),
            denoise_steps=50, height=256, width=256, guided=True, fixed=True,
        ),
        Generator(
            "sd-1.5",
            "stable-diffusion-v1-5/stable-diffusion-v1-5, as StableDiffusionPipeline of diffusers 0.42.1 runs it",
            (
                Component("text_encoder", "clip-l-text-pooled", guided="runs"),
                Component("unet", "sd-1.5-unet", _LATENTS, STEPS, "batch"),
                Component("vae", "sd-vae", _LATENTS),
            ),
            denoise_steps=50, height=512, width=512, guided=True, multiple=64,
        ),
        Generator(
            "sdxl",
            "stabilityai/stable-diffusion-xl-base-1.0, as StableDiffusionXLPipeline of diffusers 0.42.1 runs it",
            (
                Component("text_encoder", "clip-l-text-pooled"),
                Component("text_encoder_2", "clip-bigg-text"),
                Component("unet", "sdxl-unet", _LATENTS, STEPS, "batch"),
                Component("vae", "sd-vae", _LATENTS),
            ),
            denoise_steps=50, height=1024, width=1024, guided=True, multiple=32,
        ),
        Generator(
            "sd3-medium",
            "stabilityai/stable-diffusion-3-medium-diffusers, as StableDiffusion3Pipeline of diffusers 0.42.1 runs it",
            (
                Component("text_encoder", "clip-l-text", guided="runs"),
                Component("text_encoder_2", "clip-bigg-text", guided="runs"),
                Component("text_encoder_3", "t5-xxl-encoder", _tokens(256), guided="runs"),
                Component("transformer", "sd3-medium-transformer", _LATENTS, STEPS, "batch"),
                Component("vae", "sd3-vae", _LATENTS),
            ),
            denoise_steps=28, height=1024, width=1024, guided=True,
        ),
        Generator(
            "flux.1-dev", "black-forest-labs/FLUX.1-dev, as FluxPipeline of diffusers 0.42.1 runs it",
            (
                Component("text_encoder", "clip-l-text-pooled"),
                Component("text_encoder_2", "t5-xxl-encoder", _tokens(512)),
                Component("transformer", "flux.1-dev-transformer", _PACKED, STEPS),
                Component("vae", "sd3-vae", _LATENTS),
            ),
            denoise_steps=28, height=1024, width=1024, guided=False,
        ),
        *(
            Generator(
                f"wan2.1-t2v-{size}",
                f"Wan-AI/Wan2.1-T2V-{size.upper()}-Diffusers, as WanPipeline of diffusers 0.42.1 runs it",
                (
                    Component("text_encoder", "umt5-xxl-encoder", _tokens(512), guided="runs"),
                    Component(
                        "transformer", f"wan2.1-t2v-{size}-transformer", {**_LATENTS, "frames": _LATENT_FRAMES}, STEPS,
                        "runs",
                    ),
                    Component("vae", "wan2.1-vae-first", _LATENTS),
                    Component("vae_later", "wan2.1-vae-later", _LATENTS, _LATER_FRAMES, like="vae"),
                ),
                denoise_steps=50, height=480, width=832, guided=True, frames=81, fps=16, frame_multiple=4,
                makes="generated videos",
            )
            for size in ("1.3b", "14b")
        ),
    )
}  # fmt: skip
"""The shipped generators. Sizes, steps, guidance and lengths of texts are the defaults of the pipelines' ``__call__``;
FLUX.1-dev takes its guidance as an input, so that nothing is doubled. Without a negative prompt SDXL has zeros in place
of its embedding, and others encode an empty one."""
