"""The traffic that options ask for: a preset, one's own lengths, sessions of agents, or a trace, as distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as File
from typing import Protocol

import numpy as np

from roofline.errors import UsageError, WorkloadError, near_matches, shown
from roofline.options import groups
from roofline.program.phases import Phase
from roofline.program.traffic.lengths import Lengths
from roofline.program.traffic.sessions import SESSIONS, draw_sessions
from roofline.program.traffic.traces import Path, Whole, is_trace, read_trace
from roofline.program.traffic.traffic import OWN, PRESETS, WHOLE, Traffic, fixed, gathered, read_lengths
from roofline.program.workload import MAX_LENGTH, default_prompt, not_whole


class Read(Protocol):
    """A network that generates nothing, and what one pass of it reads: documents, images."""

    @property
    def name(self) -> str: ...

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    @property
    def lengths(self) -> Lengths: ...

    @property
    def reads(self) -> str: ...


_TURNS, _MOST = 20_000, 1_000_000


def read_traffic(asked: groups.Traffic, positions: int = MAX_LENGTH) -> Traffic:
    """A preset, with lengths of one's own in place of its own, or lengths alone. Raises UsageError.

    Turns of sessions that end before they outgrow the ``positions``, and the requests of a trace, are drawn apart from
    each other with all hits that there are where a cache loses none; prefix hits of one's own take their place.

    >>> read_traffic({"prompt": 2048, "generate": 256}).words()
    'traffic as given: prompt 2048, generate 256 tokens'
    >>> read_traffic({"workload": "chat"}).prompt.words
    '1020 median, 1930 at 90 %'
    """
    name, prompt, generate = asked.get("workload"), asked.get("prompt"), asked.get("generate")
    cached = asked.get("prefix_hits")
    if name is not None and (name in SESSIONS or is_trace(name)):
        own_lengths(asked)
        found = _of_sessions(name, positions) if name in SESSIONS else _of_trace(File(name), positions)
        return found if cached is None else replace(found, cached=cached, shared=False)
    if name is not None and name not in PRESETS:
        msg = f"workload {shown(name)}: {near_matches(name, (*PRESETS, *SESSIONS))}, or a trace: FILE.csv, FILE.jsonl"
        raise UsageError(msg)
    base = PRESETS[name] if name is not None else PRESETS["chat"]
    own = prompt is not None and generate is not None
    changed = prompt is not None or generate is not None
    source = "as given" if own else f"{base.source}; changed" if changed else base.source
    return Traffic(
        OWN if own and name is None else base.name,
        base.prompt if prompt is None else read_lengths(prompt),
        base.generate if generate is None else read_lengths(generate),
        base.cached if cached is None else cached,
        source,
    )


def read_passes(asked: groups.Traffic, model: Read) -> Traffic:
    """What a network that generates nothing reads in a pass: documents as long as ``prompt``, or images.

    Raises UsageError for options of answers, WorkloadError for a length that the network refuses.

    >>> from roofline.models.model import load_model
    >>> read_passes({"prompt": "128/512"}, load_model("bert-base")).words()
    'documents of 128/512 tokens (as given)'
    >>> read_passes({}, load_model("resnet-50")).words()
    'inputs'
    """
    for flag in ("workload", "generate", "prefix_hits"):
        if (value := asked.get(flag)) is not None:
            msg = f"{flag} {shown(str(value))}: {model.name} generates nothing; leave it out"
            raise UsageError(msg)
    prompt, lengths = asked.get("prompt"), model.lengths
    if lengths.whole:
        if prompt is not None and str(prompt) != str(lengths.positions):
            raise WorkloadError(not_whole(prompt, lengths, model.name))
        return Traffic(model.reads, fixed(lengths.positions), fixed(1), source=WHOLE, reads=model.reads)
    if prompt is None:
        usual = fixed(default_prompt(lengths, model.phases, 1))
        return Traffic(model.reads, usual, fixed(1), source="by default", reads=model.reads)
    found = Traffic(model.reads, read_lengths(prompt), fixed(1), reads=model.reads)
    if max(found.prompt.tokens) > lengths.positions:
        longest = f"prompt {found.prompt.words}: the longest, {max(found.prompt.tokens):,} tokens, exceeds"
        msg = f"{longest} {model.name}'s {lengths.field} {lengths.positions:,}; shorten it"
        raise WorkloadError(msg)
    return found


def own_lengths(asked: groups.Traffic) -> None:
    """Raises UsageError for lengths beside a workload that has its own."""
    for flag, value in (("prompt", asked.get("prompt")), ("generate", asked.get("generate"))):
        if value is not None:
            msg = f"{flag} {shown(value)}: {asked.get('workload')} has lengths of its own; leave it out"
            raise UsageError(msg)


def _of_sessions(name: str, positions: int) -> Traffic:
    s = SESSIONS[name]
    turns = draw_sessions(s, _TURNS, positions, np.random.default_rng(0))
    return Traffic(s.name, gathered(turns.prompt), gathered(turns.generate), turns.shared, s.source, shared=True)


def _of_trace(name: File, positions: int) -> Traffic:
    trace = read_trace(name, _MOST)
    prompt = np.minimum(trace.prompt, positions)
    generate = np.minimum(trace.generate, positions - prompt + 1)
    return Traffic(
        name.name, gathered(prompt), gathered(generate), _seen_before(prompt, trace.paths), "trace", shared=True
    )


def _seen_before(prompt: Whole, paths: Mapping[int, Path]) -> float:
    """The part of all prompt tokens whose segments a request before had, from the first one on."""
    seen: set[object] = set()
    known = 0
    for request, path in paths.items():
        end = 0
        for segment, upto in path:
            if segment not in seen:
                break
            end = upto
        known += min(end, int(prompt[request]) - 1)
        seen.update(segment for segment, _ in path)
    return known / int(prompt.sum())
