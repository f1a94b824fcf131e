"""Blocks of a module: the layers of a list, which a program states once and repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from roofline.classes import frozen
from roofline.models.traced.calls import Call


def block_paths(module: Any) -> frozenset[str]:
    """The paths of layers: the numbered modules of a list in which at least two are alike, the outermost such list."""
    found: set[str] = set()
    for path, each in module.named_modules():
        if any(path == block or path.startswith(f"{block}.") for block in found):
            continue
        layers = [(name, child) for name, child in each.named_children() if name.isdigit() and _has_children(child)]
        looks = [_look(child) for _, child in layers]
        if any(looks.count(look) > 1 for look in looks):
            found |= {f"{path}.{name}".lstrip(".") for name, _ in layers}
    return frozenset(found)


def _has_children(module: Any) -> bool:
    return next(module.children(), None) is not None


def _look(module: Any) -> tuple[str, tuple[Any, ...]]:
    shapes = tuple((name, tuple(each.shape)) for name, each in module.named_parameters())
    return type(module).__name__, shapes


@frozen
class Segment:
    """Calls in a row that run in one call of a block, or between blocks (``block`` is empty)."""

    block: str
    calls: tuple[Call, ...]

    @property
    def home(self) -> str:
        """The module that all calls are in: the block itself, else what their paths share."""
        if self.block:
            return self.block
        paths = [call.path.split(".") for call in self.calls]
        shared = []
        for names in zip(*paths, strict=False):
            if len(set(names)) > 1:
                break
            shared.append(names[0])
        return ".".join(shared)


def segments_of(calls: tuple[Call, ...], blocks: frozenset[str]) -> Iterator[Segment]:
    """Calls cut where a block begins or ends."""
    held: list[Call] = []
    now: tuple[str, int] = ("", 0)
    for call in calls:
        visit = next((each for each in call.inside if each[0] in blocks), ("", 0))
        if held and visit != now:
            yield Segment(now[0], tuple(held))
            held = []
        now = visit
        held.append(call)
    if held:
        yield Segment(now[0], tuple(held))


def fused_across(segments: Sequence[Segment]) -> list[Segment]:
    """Segments in which what a layer does before its first heavy call runs with the end of the segment before.

    The sum at the end of a layer and the norm at the beginning of the next are one kernel. What follows the last layer
    joins it in the same way, where layers begin so.
    """
    found: list[Segment] = []
    begins_lightly = False
    for segment in segments:
        first = next((place for place, call in enumerate(segment.calls) if call.heavy), len(segment.calls))
        leads = first > 0 if segment.block else begins_lightly and bool(found) and bool(found[-1].block)
        if segment.block:
            begins_lightly = first > 0
        if not leads or (segment.block and first == len(segment.calls)):
            found.append(segment)
            continue
        before = found.pop() if found else Segment("", ())
        found.append(Segment(before.block, before.calls + segment.calls[:first]))
        if segment.calls[first:]:
            found.append(Segment(segment.block, segment.calls[first:]))
    return found


def short_name(name: str, home: str, blocks: Collection[str]) -> str:
    """A name within the module ``home``; one that lies outside loses the block that it begins with.

    >>> short_name("2.0.weight", "2", ("0", "2")), short_name("0.conv.weight", "2", ("0", "2"))
    ('0.weight', 'conv.weight')
    """
    within = relative(name, home)
    if within != name:
        return within
    return next((name[len(block) + 1 :] for block in blocks if name.startswith(f"{block}.")), name)


def relative(path: str, home: str) -> str:
    """A path within the module ``home``; as it is where it lies outside."""
    return path[len(home) + 1 :] if home and path.startswith(f"{home}.") else "" if path == home and home else path
