"""What a request shows a network that sees, plays to one that hears, or asks of one that makes images or videos."""

from __future__ import annotations

import re
from typing import TypeAlias

from roofline.errors import UsageError, WorkloadError, shown
from roofline.models.generators.generator import GENERATORS
from roofline.models.model import GENERATES, Model, load_model
from roofline.options.verbs.predicting import RequestOptions
from roofline.options.verbs.serving import ServingOptions, SimulateOptions
from roofline.program.traffic.lengths import Pictures, Shown, Sounds
from roofline.units import parse_quantity

Asked: TypeAlias = RequestOptions | ServingOptions | SimulateOptions
"""Options of verbs that show a network something."""

_MOST_IMAGES, _LONGEST_SIDE, _LONGEST_S = 100_000, 100_000, 1e6
_USUAL_SIZE, _USUAL_FPS = "1024x768", 2.0
_FRAMES = 4, 768
"""The fewest and the most frames of a video that are read: the defaults of Qwen's processors."""


def shown_by(model: Model, asked: Asked) -> Shown:
    """The images or the video, and the sound, that options ask for; nothing where they ask for none.

    Raises UsageError for flags that do not go together, WorkloadError where the network sees or hears nothing.
    """
    if model.model_type == GENERATES:
        return Shown()
    if asked.get("denoise_steps") is not None:
        whole = [each.name for each in GENERATORS.values() if model.name in {part.trace for part in each.components}]
        instead = f"it is one step of {whole[0]}: name that" if whole else "leave denoise_steps out"
        msg = f"{model.name} makes no images in steps; {instead}"
        raise WorkloadError(msg)
    return Shown(_seen_by(model, asked), _heard_by(model, asked))


def made_by(model: Model, asked: Asked) -> Model:
    """A generator with the sizes and steps that options ask for; any other network as it is.

    Raises UsageError for flags that do not go with it, ConfigError for sizes that it does not make.
    """
    if model.model_type != GENERATES:
        return model
    for name in ("images", "audio"):
        if asked.get(name) is not None:
            msg = f"{name}: {model.name} is shown nothing; batch says how many {model.lengths.unit} there are"
            raise UsageError(msg)
    made, fields = GENERATORS[model.name], dict[str, object]()
    if asked.get("image_size") is not None:
        fields["width"], fields["height"] = _sides(asked.get("image_size"))
    if asked.get("denoise_steps") is not None:
        fields["denoise_steps"] = asked.get("denoise_steps")
    video, fps = asked.get("video"), asked.get("fps")
    if (video is not None or fps is not None) and not made.fps:
        msg = f"{'fps' if video is None else 'video'}: {model.name} makes images; leave it out"
        raise UsageError(msg)
    if video is not None or fps is not None:
        rate, usual = _rate(made.fps if fps is None else fps), made.frames / made.fps
        frames = (usual if video is None else _seconds(video, "video")) * rate
        fields["frames"] = made.frame_multiple * max(0, round(frames / made.frame_multiple)) + 1
    return load_model(model.name, overrides={**model.fields, **fields}) if fields else model


def _heard_by(model: Model, asked: Asked) -> Sounds | None:
    """The sound."""
    audio = asked.get("audio")
    if audio is None:
        return None
    _check_context(asked, "hears nothing")
    if model.hearing is None:
        reads = getattr(model.config, "num_mel_bins", None) is not None
        instead = (
            f"its prompt is tokens of sound, {model.lengths.positions} at most: --prompt"
            if reads
            else "leave audio out"
        )
        msg = f"{model.name} has no audio tower beside a text model; {instead} (models list --kind audio)"
        raise WorkloadError(msg)
    from roofline.models.towers.hearing.rules import sounds  # noqa: PLC0415  (most requests play nothing)

    return sounds(model.hearing, _seconds(audio, "audio"))


def _check_context(asked: Asked, why: str) -> None:
    if asked.get("context") is not None:
        msg = f"context is one decode step, which {why}; give prompt and generate in its place"
        raise UsageError(msg)


def _seen_by(model: Model, asked: Asked) -> Pictures | None:
    """The images or the video."""
    images, video = asked.get("images"), asked.get("video")
    if images is None and video is None:
        if alone := [name for name in ("image_size", "fps") if asked.get(name) is not None]:
            msg = f"{alone[0]} is of images or of a video; give images or video too"
            raise UsageError(msg)
        return None
    if images is not None and video is not None:
        msg = "images and video: one request shows the one or the other; leave one out"
        raise UsageError(msg)
    _check_context(asked, "sees no images")
    if model.tower is None:
        msg = (
            f"{model.name} sees no images; leave {'images' if video is None else 'video'} out (models list --kind vlm)"
        )
        raise WorkloadError(msg)
    if images is not None and asked.get("fps") is not None:
        msg = "fps is of a video; leave it out"
        raise UsageError(msg)
    from roofline.models.towers.rules import Size, pictures  # noqa: PLC0415  (most requests show nothing)

    width, height = _sides(asked.get("image_size"))
    if video is not None:
        return pictures(model.tower, Size(width, height, _frames(video, asked.get("fps"))), 1)
    if isinstance(images, bool) or not isinstance(images, int) or not 1 <= images <= _MOST_IMAGES:
        msg = f"images {shown(images)}: expected a whole number from 1 to {_MOST_IMAGES}"
        raise UsageError(msg)
    return pictures(model.tower, Size(width, height), images)


def _sides(text: object) -> tuple[int, int]:
    """Width and height in pixels."""
    found = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", _USUAL_SIZE if text is None else str(text).strip().lower())
    sides = tuple(map(int, found.groups())) if found else ()
    if len(sides) != 2 or not all(1 <= side <= _LONGEST_SIDE for side in sides):
        msg = f"image size {shown(text)}: expected width and height in pixels, such as {_USUAL_SIZE}"
        raise UsageError(msg)
    return sides[0], sides[1]


def _frames(video: object, fps: object) -> int:
    """The frames of a video that are read."""
    seconds = _seconds(video, "video")
    rate = _rate(_USUAL_FPS if fps is None else fps)
    least, most = _FRAMES
    return int(min(max(seconds * rate, least), most))


def _rate(fps: object) -> float:
    """Frames a second."""
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps <= 1000:
        msg = f"fps {shown(fps)}: expected a number above 0, to 1000"
        raise UsageError(msg)
    return float(fps)


def _seconds(length: object, name: str) -> float:
    """A length in seconds."""
    seconds = float(length) if _is_number(length) else parse_quantity(length, "time_s")  # type: ignore[arg-type]
    if not 0 < seconds <= _LONGEST_S:
        msg = f"{name} {shown(length)}: expected a length above 0, to {_LONGEST_S:,.0f} s, such as 30s"
        raise UsageError(msg)
    return seconds


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
