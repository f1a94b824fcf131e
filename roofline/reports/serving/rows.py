"""Comparisons and sizings as rows of a table: the fields of their JSON, one row per hardware, the nested ones flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.buying.ranking import Comparison
from roofline.buying.sizing import Sizing

Row = dict[str, Any]


def comparison_rows(result: Comparison) -> list[Row]:
    """A row per hardware, the best one first."""
    told = result.to_dict()
    named = ({**row["hardware"], **row, "hardware": row["hardware"]["name"]} for row in told["rows"])
    return even([_origin(told) | {key: value for key, value in flat(row).items() if key != "name"} for row in named])


def sizing_rows(result: Sizing) -> list[Row]:
    """A row per order, the choice first, then one for what misses."""
    told = result.to_dict()
    orders = [order for order in (told["choice"], told["runner_up"], *told["others"]) if order]
    found = [{"serves": True, **flat(order)} for order in orders]
    return even([_origin(told) | row for row in (*found, *({"serves": False, **flat(m)} for m in told["misses"]))])


def flat(fields: Mapping[str, Any]) -> Row:
    """Nested fields as ``outer_inner``, texts with semicolons between, costs by the utilisation that they are at.

    >>> flat({"shares": {"link": 0.5}, "notes": ["a", "b"], "at": [{"utilization": 0.5, "usd_per_h": 2.0}]})
    {'share_link': 0.5, 'notes': 'a; b', 'usd_per_h_at_0.5': 2.0}
    """
    return dict(_flat(fields, ""))


def even(rows: Sequence[Row]) -> list[Row]:
    """The same rows with the columns of all of them, in the order in which they appear.

    >>> even([{"a": 1}, {"a": 2, "b": 3}])
    [{'a': 1, 'b': None}, {'a': 2, 'b': 3}]
    """
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def _origin(told: Mapping[str, Any]) -> Row:
    inputs = told["inputs"]
    edits = "; ".join(f"{path}={value}" for path, value in inputs["overrides"].items())
    return {"model": told["model"], "workload": inputs["workload"], "overrides": edits}


def _flat(fields: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if name == "at":
            for each in value:
                used = each["utilization"]
                yield from ((f"{before}{key}_at_{used:g}", own) for key, own in each.items() if own is not used)
        elif name in _ABSENT and value is None:
            continue
        elif isinstance(value, Mapping):
            yield from _flat(value, before + _PREFIXES.get(name, f"{name}_"))
        elif isinstance(value, list):
            yield before + name, "; ".join(str(each) for each in value)
        else:
            yield before + name, value


_ABSENT = ("cost", "pools")
_PREFIXES = {"at_load": "", "cost": "", "shares": "share_", "pools": ""}
"""What the fields of a nested object are called, where not by its own name before theirs."""
