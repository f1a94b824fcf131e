"""The modules of a checkpoint by their names: which weights of a program a list of names and patterns means.

Published files name modules as transformers does, ``model.layers.3.self_attn.q_proj``, one by one, by a part of the
name, ``self_attn`` or ``model``, by a wildcard, ``model.layers.0*``, or as a regular expression, ``re:.*_proj``.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Iterator

from roofline.classes import frozen

_ATTENTION = ("self_attn", "mixer", "attn", "attention")
_MLP = ("mlp", "feed_forward", "mixer", "block_sparse_moe")
_SCAN = ("mixer", "mamba")


def _in(parents: Iterable[str], *names: str) -> tuple[str, ...]:
    return tuple(f"{parent}.{name}" for parent in parents for name in names)


def _routed(*names: str) -> tuple[str, ...]:
    return tuple(f"{parent}.experts.{place}{name}" for parent in _MLP for name in names for place in ("0.", ""))


def _shared(*names: str) -> tuple[str, ...]:
    parents = [f"{parent}.{shared}" for parent in _MLP for shared in ("shared_experts", "shared_expert")]
    return _in([*parents, "shared_mlp", "block_sparse_moe.shared_mlp"], *names)


MODULES: dict[str, tuple[str, ...]] = {
    "w_q": _in(_ATTENTION, "q_proj", "q_b_proj", "qkv_proj"),
    "w_qr": _in(_ATTENTION, "q_proj", "q_b_proj"),
    "w_k": _in(_ATTENTION, "k_proj", "qkv_proj"),
    "w_v": _in(_ATTENTION, "v_proj", "qkv_proj"),
    "w_kv": _in(_ATTENTION, "kv_proj"),
    "w_out": _in(_ATTENTION, "o_proj", "out_proj", "o_b_proj"),
    "w_out_down": _in(_ATTENTION, "o_a_proj"),
    "w_attention_gate": _in(_ATTENTION, "q_proj"),
    "w_q_down": _in(_ATTENTION, "q_a_proj", "fused_qkv_a_proj"),
    "w_kv_down": _in(_ATTENTION, "kv_a_proj_with_mqa", "fused_qkv_a_proj"),
    "w_k_rotary": _in(_ATTENTION, "kv_a_proj_with_mqa", "fused_qkv_a_proj"),
    "w_gate": _in(_MLP, "gate_proj", "gate_up_proj", "w1"),
    "w_up": _in(_MLP, "up_proj", "gate_up_proj", "w3"),
    "w_down": _in(_MLP, "down_proj", "w2"),
    "w_expert_gate": _routed("gate_proj", "gate_up_proj", "w1"),
    "w_expert_up": _routed("up_proj", "gate_up_proj", "w3"),
    "w_expert_down": _routed("down_proj", "w2"),
    "w_shared_gate": _shared("gate_proj", "gate_up_proj", "input_linear"),
    "w_shared_up": _shared("up_proj", "gate_up_proj", "input_linear"),
    "w_shared_down": _shared("down_proj", "output_linear"),
    **{f"w_delta_{part}": ("linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv") for part in "qkv"},
    "w_delta_gate": ("linear_attn.in_proj_qkvz", "linear_attn.in_proj_z"),
    "w_delta_beta": ("linear_attn.in_proj_ba", "linear_attn.in_proj_b"),
    "w_delta_decay": ("linear_attn.in_proj_ba", "linear_attn.in_proj_a"),
    "w_delta_out": ("linear_attn.out_proj",),
    **{f"w_ssm_{part}": _in(_SCAN, "in_proj") for part in ("b_in", "c_in", "dt", "gate", "x_in")},
    "w_ssm_out": _in(_SCAN, "out_proj"),
    **{f"w_mamba_{part}": _in(_SCAN, "in_proj") for part in ("x", "gate")},
    **{f"w_mamba_{part}": _in(_SCAN, "x_proj") for part in ("b", "c", "dt_low")},
    "w_mamba_dt": _in(_SCAN, "dt_proj"),
    "w_mamba_out": _in(_SCAN, "out_proj"),
    **{f"w_convolution_{part}": ("conv.in_proj",) for part in "bcx"},
    "w_convolution_out_proj": ("conv.out_proj",),
}
"""A weight of a program -> the modules, within a layer, that hold it in one family or another; expert 0 speaks for
all experts."""

_PREFIXES = ("model.language_model.", "language_model.model.", "model.decoder.", "model.", "backbone.", "transformer.")
_ELSEWHERE = (
    "lm_head", "embed", "head", "router", "gate", "norm", "visual", "vision", "mtp", "eh_proj", "multi_modal", "conv",
    "kv_b_proj", "bias", "audio", "projector", "indexer", "x_proj", "dt_proj", "patch", "merger",
)  # fmt: skip
"""Words in the names of modules that are left alone anyway, or are no part of the network that is modelled."""


@frozen
class Modules:
    """The modules that a list of names and patterns means.

    >>> some = Modules(("lm_head", "model.layers.0.mlp", "re:.*self_attn.*"))
    >>> some.hold("w_q", 7), some.hold("w_up", 0), some.hold("w_up", 1)
    (True, True, False)
    """

    names: tuple[str, ...]

    def hold(self, weight: str, layer: int) -> bool:
        """Whether the module of a weight in a layer is one of them."""
        return _holds(self, weight, layer)

    def hold_head(self) -> bool:
        """Whether the LM head is one of them."""
        return _test(self.names)(("lm_head",))

    def known(self) -> Modules:
        """Those that some module of a modelled network may bear. Raises ValueError for a pattern that is none."""
        _test(self.names)
        return Modules(tuple(name for name in self.names if _is_pattern(name) or _known(name)))

    def unknown(self) -> tuple[str, ...]:
        """The names, without a wildcard, that no module of any modelled network bears, in the order of the file."""
        plain = (name for name in self.names if not _is_pattern(name))
        return tuple(name for name in plain if not any(word in name for word in _ELSEWHERE) and not _known(name))


@functools.lru_cache(maxsize=1 << 16)
def _holds(modules: Modules, weight: str, layer: int) -> bool:
    test = _test(modules.names)
    return test(tuple(f"layers.{layer}.{module}" for module in MODULES.get(weight, (weight,))))


@functools.lru_cache(maxsize=64)
def _test(names: tuple[str, ...]) -> Callable[[tuple[str, ...]], bool]:
    """Whether one of ``names`` means a module, given what it is called in one family or another, from ``layers`` on.

    What a pattern excludes, ``(?!``, it must exclude under all of them.
    """
    plain = {_held(name) for name in names if not _is_pattern(name)}
    patterns = [pattern for name in names if _is_pattern(name) for pattern in _patterns(name)]

    def means(pattern: re.Pattern[str], name: str) -> bool:
        return any(pattern.match(prefix + name) for prefix in ("", *_PREFIXES))

    def test(called: tuple[str, ...]) -> bool:
        if any(span in plain for name in called for span in _spans(name)):
            return True
        ways = ((each, all if "(?!" in each.pattern else any) for each in patterns)
        return any(way(means(each, name) for name in called) for each, way in ways)

    return test


def _spans(name: str) -> Iterator[str]:
    """Every run of steps in a name."""
    steps = name.split(".")
    return (".".join(steps[at:to]) for at in range(len(steps)) for to in range(at + 1, len(steps) + 1))


_STEP_ENDS = r"(?:(?<=\.)|(?=\.|$))"
"""Where transformers lets a name of its lists end: all of them are regular expressions to it."""


def _is_pattern(name: str) -> bool:
    return name.startswith(("re:", ".*")) or any(letter in name for letter in "*?[(|\\^$+")


def _patterns(name: str) -> list[re.Pattern[str]]:
    """A wildcard for a module and all in it, or a regular expression. Raises ValueError for one that is none."""
    if name.startswith("re:"):
        written = name.removeprefix("re:")
    elif name.startswith(".*") or any(letter in name for letter in "(|\\^$+"):
        written = f"(?:{name}){_STEP_ENDS}"
    else:
        return [re.compile(fnmatch.translate(each)) for each in (name, f"{name}.*")]
    try:
        return [re.compile(written)]
    except re.error as failure:
        msg = f"{name[:60]} is no regular expression: {failure}"
        raise ValueError(msg) from None


def _held(name: str) -> str:
    """A name from the layers on; ``layers`` for what holds all of them."""
    bare = bare_name(name.rstrip(".") + ".").rstrip(".")
    return "layers" if bare in ("", "language_model", "text_model") else bare


def bare_name(name: str) -> str:
    """A name without what stands before the layers, expert 0 in place of any.

    >>> bare_name("model.language_model.layers.3.mlp.experts.7.up_proj")
    'layers.3.mlp.experts.0.up_proj'
    """
    found = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
    return re.sub(r"\bexperts\.\d+\b", "experts.0", found)


@functools.cache
def _parts() -> frozenset[str]:
    """Every run of steps in the modules' names."""
    return frozenset(span for modules in MODULES.values() for module in modules for span in _spans(module))


def holds_all_layers(name: str) -> bool:
    """Whether a name is that of the network or of the list of its layers.

    >>> holds_all_layers("model.language_model"), holds_all_layers("model.layers.1")
    (True, False)
    """
    return not _is_pattern(name) and _held(name) == "layers"


def _known(name: str) -> bool:
    within = re.sub(r"^layers(?:\.\d+\.?|$)", "", _held(name))
    return not within or within in _parts()
