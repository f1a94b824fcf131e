"""compressed-tensors: groups of modules, each of a scheme."""

from __future__ import annotations

from roofline.compression.modules import Modules, holds_all_layers
from roofline.errors import shown
from roofline.models.checkpoints.options import EVERY, Options, Stored, left_alone, listed, mapping
from roofline.models.checkpoints.schemes import PLAIN, cache, scheme


def compressed_tensors(o: Options) -> Stored:
    """compressed-tensors: groups of modules, each of a scheme; modules that no group targets stay in 16 bits."""
    groups = [
        mapping("config_groups", each) for each in mapping("config_groups", o.get("config_groups") or {}).values()
    ]
    kept = cache(o.get("kv_cache_scheme"))
    for name in (name for alone, _ in left_alone(o) for name in alone.names):
        if holds_all_layers(name):  # the library ignores modules of just this name, which none to quantise has
            msg = f"ignore {shown(name)}, which is no linear layer but holds all of them,"
            raise ValueError(msg)
    if not groups and kept:
        return Stored(PLAIN, kept)
    if not groups:
        msg = "no config_groups"
        raise ValueError(msg)
    found: list[tuple[tuple[str, ...], str]] = []
    for group in groups:
        weights, activations = group.get("weights"), group.get("input_activations")
        own = None if activations is None else mapping("input_activations", activations)
        named = group.get("targets") or ["Linear"]
        targets = tuple(map(str, [named] if isinstance(named, str) else listed("targets", named)))
        found.append((targets, PLAIN if weights is None else scheme(mapping("weights", weights), own)))
    return of_targets(found, kept)


_CLASSES = ("Linear", "FusedMoE", "MoEGate")


def of_targets(found: list[tuple[tuple[str, ...], str]], kept: str) -> Stored:
    """The schemes of named modules; that of the class Linear, or of none, holds for all others."""
    named = [(targets, own) for targets, own in found if not set(targets) & set(_CLASSES)]
    general = [own for targets, own in found if set(targets) & set(_CLASSES)]
    rules = [(Modules(targets), own) for targets, own in named]
    if general:
        return Stored(general[0], kept, tuple(rules))
    most = max(named, key=lambda each: len(each[0]))[1]
    return Stored(most, kept, (*rules, (EVERY, PLAIN)))
