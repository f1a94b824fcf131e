"""Rules that join kernels to operators by their names; those of ``kernels.yaml``, and a user's before them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from roofline.classes import frozen
from roofline.engines.fields import Record, Source, Text
from roofline.errors import UsageError
from roofline.files.fields import BeforeValidator, Field, model_validator
from roofline.files.findings import validated
from roofline.files.library import read_yaml
from roofline.prediction.figures import Operator
from roofline.validation.profiles.kernels import Kernel, Profile

SHIPPED = Path(__file__).with_name("kernels.yaml")

NEAR = 1e-6
"""How near to a whole number the steps of a profile must be."""


def _pattern(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return re.compile(given, re.IGNORECASE)
    except (re.error, RecursionError) as failure:
        msg = f"no regular expression: {failure}"
        raise ValueError(msg) from None


Pattern = Annotated[re.Pattern[str], BeforeValidator(_pattern)]


class Rule(Record):
    """A pattern of names of kernels, or of the NVTX ranges they run in, and the operators or kinds they are of."""

    operators: Annotated[list[Text], Field(min_length=1)]
    source: Text
    pattern: Pattern | None = None
    scope: Pattern | None = None
    main: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.pattern is None) == (self.scope is None):
            msg = "expected either pattern or scope"
            raise ValueError(msg)
        return self

    def takes(self, kernel: Kernel) -> bool:
        """Whether a kernel is of it."""
        if self.scope is not None:
            return bool(kernel.scope and self.scope.search(kernel.scope))
        return self.pattern is not None and self.pattern.search(kernel.name) is not None

    def names(self, operator: Operator) -> bool:
        """Whether it means an operator: by its name, with its group or without, or by its kind."""
        return not {operator.name, operator.name.rpartition(".")[2], operator.kind}.isdisjoint(self.operators)


class Known(Record):
    """A pattern of names of kernels by which an engine is known."""

    pattern: Pattern
    engine: Text
    source: Text


class Rules(Record):
    """The rules of a file."""

    sources: dict[Text, Source]
    rules: list[Rule] = Field(default=[])
    engines: list[Known] = Field(default=[])

    @model_validator(mode="after")
    def _check(self) -> Self:
        for source in (*(rule.source for rule in self.rules), *(known.source for known in self.engines)):
            if source not in self.sources:
                msg = f"source {source}: not among sources, which are {', '.join(self.sources)}"
                raise ValueError(msg)
        return self

    def before(self, other: Rules) -> Rules:
        """These rules, and then others."""
        return Rules(
            rules=[*self.rules, *other.rules],
            engines=[*self.engines, *other.engines],
            sources=self.sources | other.sources,
        )

    def engine_of(self, profile: Profile) -> str | None:
        """The engine that names of kernels tell; None where none does."""
        names = [text for kernel in profile.kernels for text in (kernel.name, kernel.scope)]
        return next((each.engine for each in self.engines if any(map(each.pattern.search, names))), None)


def read_rules(path: Path | None = None) -> Rules:
    """The rules of a file, and then those that are shipped. Raises SpecError for what is none."""
    shipped = _shipped()
    return shipped if path is None else _read(path).before(shipped)


@cache
def _shipped() -> Rules:
    return _read(SHIPPED)


def _read(path: Path) -> Rules:
    return validated(Rules, read_yaml(path), str(path))


@frozen
class Share:
    """Operators whose kernels cannot be told apart, and what they took together in one step. [s]"""

    operators: tuple[str, ...]
    seconds: float
    dram_bytes: float | None


@frozen
class JoinedKernels:
    """A profile beside the operators of a step: what they took, and what no rule joins, by name; ``steps`` it held."""

    shares: tuple[Share, ...]
    others_s: dict[str, float]
    steps: float

    @property
    def joined(self) -> float:
        """The part of the kernels' time that is joined to operators."""
        found = sum(share.seconds for share in self.shares)
        return found / (found + sum(self.others_s.values()))


def join_kernels(
    profile: Profile, operators: Sequence[Operator], rules: Rules, steps: int | None = None
) -> JoinedKernels:
    """The kernels of a profile by operator, for one step.

    Rules whose operators overlap make one share of them all. Without ``steps``, the main kernels tell how many the
    profile holds. Raises UsageError where they do not.
    """
    held: list[tuple[frozenset[str], Rule, Kernel]] = []
    others: dict[str, float] = {}
    order = sorted(rules.rules, key=lambda rule: rule.scope is None)
    for kernel in profile.kernels:
        rule = next((each for each in order if each.takes(kernel)), None)
        named = frozenset(op.name for op in operators if rule and rule.names(op))
        if rule is None or not named:
            others[kernel.words] = others.get(kernel.words, 0.0) + kernel.seconds
        else:
            held.append((named, rule, kernel))
    count = float(steps) if steps else _steps(profile, held, operators)
    shares = []
    for pool in _pools(named for named, _, _ in held):
        own = [kernel for named, _, kernel in held if named <= pool]
        counted = [kernel.dram_bytes for kernel in own if kernel.dram_bytes is not None]
        names = tuple(op.name for op in operators if op.name in pool)
        seconds = sum(kernel.seconds for kernel in own) / count
        shares.append(Share(names, seconds, sum(counted) / count if len(counted) == len(own) else None))
    return JoinedKernels(tuple(shares), {name: seconds / count for name, seconds in others.items()}, count)


def _pools(sets: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """Sets that overlap, together."""
    pools: list[frozenset[str]] = []
    for each in sets:
        meets = [pool for pool in pools if pool & each]
        pools = [pool for pool in pools if not pool & each] + [each.union(*meets)]
    return pools


def _steps(
    profile: Profile, held: Sequence[tuple[frozenset[str], Rule, Kernel]], operators: Sequence[Operator]
) -> float:
    """How many steps a profile holds: runs of main kernels, over the executions of their operators in a step."""
    counts = {op.name: op.count for op in operators}
    main = [(named, rule, kernel) for named, rule, kernel in held if rule.main]
    runs: dict[str, int] = {}
    for _, rule, kernel in main:
        key, times = (kernel.name, kernel.ran) if rule.scope is None else (kernel.scope, kernel.ranges)
        runs[key] = max(times, runs.get(key, 0)) if rule.scope else runs.get(key, 0) + times
    ran = sum(runs.values())
    executed = sum(counts[name] for name in frozenset().union(*(named for named, _, _ in main)))
    found = ran / executed if executed else 0.0
    if found < 1 - NEAR or abs(found - round(found)) > NEAR * found:
        told = f"{ran} runs of {executed} operators" if main else "no kernel that runs once an operator is known"
        msg = (
            f"{profile.path} ({profile.tool}): how many steps it holds cannot be told ({told}); "
            "say it with --profiled-steps, or profile whole steps of one phase"
        )
        raise UsageError(msg)
    return float(round(found))
