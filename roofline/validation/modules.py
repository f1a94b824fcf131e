"""The real torch module of a model, with random weights, and one step of each phase as a call without arguments."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import MissingExtraError, RooflineError, UsageError
from roofline.models.families import FAMILIES
from roofline.models.model import Model
from roofline.models.sources import DIFFUSERS, TRANSFORMERS
from roofline.program.phases import Phase
from roofline.tracing.inputs import Input
from roofline.tracing.sources import check_module, from_diffusers, from_transformers, load_function
from roofline.validation.capture import storage_addresses
from roofline.validation.devices import Device


@frozen
class Step:
    """One step of a phase on a device: ``run()`` computes it; ``resident`` are the storages of weights and cache."""

    phase: Phase
    run: Callable[[], object]
    resident: set[int]


def build_module(model: Model, device: Device, dtype: str) -> Any:
    """The transformers class that the configuration names, or the tutorial's encoder, with random weights.

    Raises MissingExtraError without transformers, UsageError for a family that it does not know.
    """
    torch = device.torch
    torch.manual_seed(0)
    if model.model_type == "tutorial_encoder":
        from roofline.validation.tutorial import TutorialEncoder  # noqa: PLC0415  (needs torch)

        module = TutorialEncoder(**{k: v for k, v in model.fields.items() if k not in ("model_type", "hidden_act")})
    else:
        module = _from_transformers(model)
    return module.to(device.kind, device.dtype(dtype)).eval()


def _from_transformers(model: Model) -> Any:
    try:
        import transformers  # noqa: PLC0415  (slow to import)
    except ImportError:
        purpose = f"building {model.name}"
        raise MissingExtraError(purpose, "torch") from None
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    named = model.fields.get("architectures") or [next(iter(FAMILIES[model.model_type].classes))]
    name = named[0] if isinstance(named, list) else named
    found = getattr(transformers, str(name), None)
    if found is None:
        msg = f"{model.name}: transformers {transformers.__version__} has no {name}; give --module FILE.py:FUNCTION"
        raise UsageError(msg)
    transformers.logging.set_verbosity_error()
    return found(transformers.AutoConfig.for_model(model.model_type, **fields))


def load_module(where: str, device: Device, dtype: str) -> Any:
    """The module that a function of a file builds, ``file.py:build``, or that ``transformers:`` or
    ``diffusers:config.json`` names.

    Raises UsageError for what is not there.
    """
    if where.startswith(TRANSFORMERS):
        module, _ = from_transformers(where.removeprefix(TRANSFORMERS), weights=True)
        return module.to(device.kind, device.dtype(dtype)).eval()
    if where.startswith(DIFFUSERS):
        module, _ = from_diffusers(where.removeprefix(DIFFUSERS), weights=True)
        return module.to(device.kind, device.dtype(dtype)).eval()
    build = load_function(where, f"--module {where!r}", lambda: blaming(where))
    with blaming(where):
        built = build()
    check_module(built, f"--module {where!r}")
    with blaming(where):
        return built.to(device.kind, device.dtype(dtype)).eval()


@contextmanager
def blaming(where: str) -> Iterator[None]:
    """What code of the user's file raises, as UsageError: file, line, what went wrong. Out of memory stays what it is.

    The last line of that file on the way to the failure is named, if there is one.
    """
    try:
        yield
    except (RooflineError, MemoryError):
        raise
    except (Exception, SystemExit) as failure:
        if out_of_memory(failure):
            raise
        file = Path(where.rpartition(":")[0])
        frames = traceback.extract_tb(failure.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
        line = failure.lineno if isinstance(failure, SyntaxError) else lines[-1] if lines else None
        place = f"{file}:{line}" if line else str(file)
        text = failure.msg if isinstance(failure, SyntaxError) else str(failure)
        msg = f"--module {place}: {type(failure).__name__}: {text.strip()[:200]}"
        raise UsageError(msg) from None


def out_of_memory(failure: BaseException) -> bool:
    """Whether torch says that memory is full, in any of its words."""
    text = str(failure).lower()
    return isinstance(failure, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def build_step(module: Any, device: Device, phase: Phase, sizes: Mapping[str, int], vocabulary: int) -> Step:
    """A step: ``sizes`` has batch and length, which in decode is the attended length, the new token included."""
    torch = device.torch
    batch, length = sizes["batch"], sizes["length"]
    parameters = storage_addresses([*module.parameters(), *module.buffers()])
    tokens = torch.randint(0, vocabulary, (batch, length), device=device.kind)
    if phase.encodes:
        return Step(phase, lambda: module(tokens), parameters)
    last = _last_logits(module)
    if phase is Phase.PREFILL:
        return Step(phase, lambda: _pick(module(tokens, use_cache=True, **last).logits), parameters)
    filled = _filled_cache(module, tokens[:, : length - 1], last)
    new, tensors = tokens[:, -1:], _cached(filled)

    def decode() -> object:
        cache = _again(filled, tensors)
        return _pick(module(new, past_key_values=cache, use_cache=True).logits)

    return Step(phase, decode, parameters | storage_addresses(x for pair in tensors for x in pair))


def traced_step(
    module: Any, device: Device, dtype: str, phase: Phase, inputs: Sequence[Input], sizes: Mapping[str, int]
) -> Step:
    """One pass of a traced module on random inputs; ``sizes`` has the numbers of the letters of ``inputs``.

    Whole numbers point into the smallest table of embeddings, else to rows of the first input.
    """
    torch = device.torch
    shapes = {each.name: [sizes[s] if isinstance(s, str) else s for s in each.sizes] for each in inputs}
    tables = [each.num_embeddings for each in module.modules() if hasattr(each, "num_embeddings")]
    rows = min(tables, default=next((shape[0] for shape in shapes.values() if shape), 1))

    def made(each: Input) -> Any:
        kind = {"float": device.dtype(dtype), "int": torch.int64, "bool": torch.bool}.get(each.holds)
        kind = kind or getattr(torch, each.holds)
        if kind.is_floating_point:
            return device.random(*shapes[each.name], dtype=kind)
        if kind is torch.bool:
            return torch.ones(shapes[each.name], dtype=kind, device=device.kind)
        return torch.randint(0, rows, shapes[each.name], dtype=kind, device=device.kind)

    given = {each.name: made(each) for each in inputs}
    resident = storage_addresses([*module.parameters(), *module.buffers()])
    return Step(phase, lambda: module(**given), resident)


def _last_logits(module: Any) -> dict[str, Any]:
    """How to ask for the head on the last token alone; a module of one's own may not know."""
    import inspect  # noqa: PLC0415

    known = inspect.signature(module.forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in known else {}


def _filled_cache(module: Any, tokens: Any, last: Mapping[str, Any]) -> Any:
    """The cache after these tokens; random keys and values serve as well as computed ones, and take no time."""
    cache = module(tokens[:, :1], use_cache=True, **last).past_key_values
    length = tokens.shape[1]
    for layer in cache.layers:
        for name in ("keys", "values"):
            held = getattr(layer, name)
            shape = (*held.shape[:2], length, held.shape[3])
            setattr(layer, name, held.new_empty(shape).normal_() * 0.05)
    return cache


def _cached(cache: Any) -> list[tuple[Any, Any]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _again(cache: Any, tensors: list[tuple[Any, Any]]) -> Any:
    """The cache as it was before the step, so that each step attends to the same length."""
    for layer, (keys, values) in zip(cache.layers, tensors, strict=True):
        layer.keys, layer.values = keys, values
    return cache


def _pick(logits: Any) -> Any:
    """The next token: softmax over the vocabulary for the last position, then the largest."""
    return logits[:, -1].softmax(-1).argmax(-1)
