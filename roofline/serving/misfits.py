"""What serves where hardware does not: why it does not fit, device by device, the fewest devices, a narrower recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from roofline.compression.recipes import Recipe
from roofline.errors import RooflineError
from roofline.hardware.spec import HardwareSpec
from roofline.options.verbs.serving import ServingOptions
from roofline.parallelism.layout import Layout
from roofline.serving.occupancy import Occupancy
from roofline.serving.replica_layouts import ONE, replica_layouts
from roofline.serving.scenario import Question
from roofline.timing.dtype_support import narrower_recipes
from roofline.units import format_quantity

_MOST_TENSOR = 64
"""The most tensor-parallel devices that are looked at for what fewer do not hold."""

Held = Callable[[Recipe, Layout], Occupancy]
"""What a device of a replica holds."""


@dataclass(slots=True)
class Misfits:
    """Words for what does not fit; ``held`` is asked once for each recipe and layout."""

    question: Question
    held: Held
    known: dict[tuple[Recipe, Layout], Occupancy | None] = field(default_factory=dict)

    def words(self, device: HardwareSpec, recipe: Recipe, layout: Layout, room: float) -> str:
        """Need and ``room`` of one device, the fewest devices that hold it in tensor parallel, a recipe that fits."""
        needed = self._needed(recipe, layout)
        several = f" on each of {layout.devices} devices ({layout})" if layout != ONE else ""
        text = f"does not fit: {_bytes(needed or 0.0)} of {_bytes(room)}{several}"
        remedies = [self._more(recipe, layout, room), self._narrower(device, recipe, layout, room)]
        return "; ".join([text, " or ".join(remedy for remedy in remedies if remedy)]).removesuffix("; ")

    def _more(self, recipe: Recipe, layout: Layout, room: float) -> str:
        devices = int(layout.devices)
        while (devices := 2 * devices) <= _MOST_TENSOR:
            wider = Layout.of(tp=devices)
            needed = self._needed(recipe, wider)
            if needed is not None and needed <= room:
                return f"{devices} devices hold it ({wider}: {_bytes(needed)} on each)"
        return ""

    def _narrower(self, device: HardwareSpec, recipe: Recipe, layout: Layout, room: float) -> str:
        for word in narrower_recipes(recipe, device):
            try:
                asked: ServingOptions = {**self.question.asked, "dtype": word}
                other = replace(self.question, asked=asked).recipe(device)
            except RooflineError:
                continue
            needed = self._needed(other, layout)
            if needed is not None and needed <= room:
                return f"--dtype {word} does ({_bytes(needed)})"
        return ""

    def _needed(self, recipe: Recipe, layout: Layout) -> float | None:
        """What one device holds with one sequence, None where the layout does not divide the model. [B]"""
        key = (recipe, layout)
        if key not in self.known:
            divides = layout == ONE or layout in replica_layouts(self.question.program, int(layout.devices))
            self.known[key] = self.held(recipe, layout) if divides else None
        found = self.known[key]
        return found.least if found else None


def _bytes(size: float) -> str:
    return format_quantity(size, "bytes")
