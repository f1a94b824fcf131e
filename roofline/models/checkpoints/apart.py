"""What lies in a checkpoint beside the network that is modelled, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roofline.compression.modules import bare_name
from roofline.models.checkpoints.tensors import Stored
from roofline.units import format_quantity

_TOWER = re.compile(r"(?:^|\.)(visual|vision_tower|vision_model|audio_tower|multi_modal_projector)\.")
_AHEAD = re.compile(r"(?:^|\.)(mtp)\.")
_LAYER = re.compile(r"layers\.([0-9]{1,4})\.")
_REBUILT = re.compile(r"(?:attn\.(?:masked_)?bias|inv_freq|position_ids|relative_position_index)$")
"""Masks and positions, which a network is built with again and no engine keeps."""


@dataclass
class Apart:
    """Towers, which lie in memory but whose work is not counted, and what is left out, each with its bytes or 0."""

    towers: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def leave(self, part: str, name: str, size: int) -> None:
        """Leaves out a tensor as one of ``part``."""
        self.left[part] = self.left.get(part, 0) + size
        self.names.add(name)

    @property
    def words(self) -> str:
        """Both, in words; empty for neither."""
        among = f"; among them {', '.join(map(_told, (self.towers | self.left).items()))}"
        left = f"; left out: {', '.join(self.left)}" if self.left else ""
        return among + left if self.towers or self.left else ""


def _told(part: tuple[str, int]) -> str:
    name, size = part
    return f"{name} ({format_quantity(size, 'bytes')})" if size else name


def parts_beside(tensors: Mapping[str, Stored] | Iterable[str], layers: int, *, tied: bool = False) -> Apart:
    """Towers, layers for further tokens, what is built again and, where it is ``tied``, a head that is a copy.

    >>> parts_beside(["model.visual.conv.weight", "mtp.fc.weight", "model.layers.4.eh_proj.weight"], 4).words
    '; among them visual.*, mtp.*, layers from 4 on; left out: mtp.*, layers from 4 on'
    """
    found = Apart()
    sizes = {name: each.bytes for name, each in tensors.items()} if isinstance(tensors, Mapping) else {}
    for name in tensors:
        size = sizes.get(name, 0)
        layer = _LAYER.match(bare_name(name))
        if tower := _TOWER.search(name):
            part = f"{tower.group(1)}.*"
            found.towers[part] = found.towers.get(part, 0) + size
        elif ahead := _AHEAD.search(name):
            found.leave(f"{ahead.group(1)}.*", name, size)
        elif layer and int(layer.group(1)) >= layers:
            found.leave(f"layers from {layers} on", name, size)
        elif _REBUILT.search(name):
            found.leave("masks and positions", name, size)
        elif tied and bare_name(name) == "lm_head.weight":
            found.leave("lm_head, a copy of the embeddings", name, size)
    return found
