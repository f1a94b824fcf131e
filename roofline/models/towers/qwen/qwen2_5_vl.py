"""The tower of Qwen2.5-VL: most layers attend within windows."""

from __future__ import annotations

from roofline.errors import shown
from roofline.models.families.family import Fields, rule
from roofline.models.towers.qwen.shared import QWEN


@rule("fullatt_block_indexes")
def _windows(fields: Fields) -> list[int]:
    full = fields.get("fullatt_block_indexes", [7, 15, 23, 31])
    if not isinstance(full, list) or not all(isinstance(each, int) for each in full):
        msg = f"fullatt_block_indexes: given {shown(full)}, expected a list of layer numbers"
        raise ValueError(msg)
    return [int(layer not in full) for layer in range(fields["num_hidden_layers"])]


QWEN2_5_VL = QWEN.but(
    options={"hidden_size": 3584, "hidden_act": "silu", "intermediate_size": 3420, "window_size": 112},
    fixed={"norm": "rms", "gated": True, "windows": _windows},
)
