"""What an engine's command line takes: :class:`LaunchFlags`, read from ``engines/launch/<name>.yaml``.

Each flag of the version named is one of three: it means something that a prediction depends on, it changes neither
times nor memory of the model, or it does and is not modelled.
"""

from __future__ import annotations

import functools
from typing import Annotated, Literal, Self, TypeAlias

from roofline.engines.fields import Record, Text
from roofline.errors import UsageError, near_matches, shown
from roofline.files.fields import Field, model_validator
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml
from roofline.schema import Says

Meaning: TypeAlias = Literal[
    "tp", "pp", "dp", "ep", "dcp", "expert_parallel", "dp_attention", "two_batches", "towers", "dispatch",
    "cut_prefill", "cut_decode", "sequences", "chunk", "length", "share", "block",
    "weights", "cache", "dtype", "eager", "padded", "chunked", "mixed", "backend", "lora", "adapters",
    "rank", "modules", "family", "flavor", "optimizer", "update", "local_batch", "batch", "stored", "computed",
    "reduced", "replicas", "shards", "reshard", "schedule", "stage_layers", "microbatch", "first_less", "last_less",
    "first_layers", "last_layers", "embedding_counts", "loss_counts",
    "cp", "exchange", "etp", "recompute", "ac_option", "stops", "every", "compiled", "layers", "hidden", "ffn", "heads",
    "head_dim",
    "grouped", "kv_heads", "qk_norm", "positions", "position", "norm", "gated", "unbiased", "qkv_bias", "untied",
    "vocab", "vocab_step", "experts", "topk", "expert_ffn", "sp", "chunks", "zero", "selective", "method",
    "attention", "flash", "bf16", "fp16", "fp8", "fp8_scaling", "fp8_gather", "fp8_filter",
    "converters", "wide_sums", "attention_dropout", "dropout",
]  # fmt: skip
"""Degrees; experts over all ranks of tp and dp; attention by dp within the ranks of tp; two-batch overlap, and from
how many tokens on; whether towers are split over the ranks of tp, or whole on each; whose kernels exchange tokens;
most sequences in flight;
tokens of a step of chunked prefill; the longest sequence; share of the memory; tokens of a block of the KV cache;
formats; no graphs; steps padded to the next graph; prompts in chunks; prompts and decoding in one step; which of its
backends; whether there are LoRA adapters, how many in memory, of
which rank at most, and on which projections. Of training: what the step is, the network's own sizes, how it is split.
"""

Takes: TypeAlias = Literal["value", "switch", "list"]


class Flag(Record):
    """A flag that a prediction depends on."""

    means: Annotated[Meaning, Says("what it says")]
    also: Annotated[list[Text], Says("other spellings")] = []
    switch: Annotated[bool, Says("whether it stands without a value")] = False
    words: Annotated[dict[Text, Text], Says("words that it takes, and the format that each means")] = {}
    as_null: Annotated[bool, Says("of an option in a file: whether null says it")] = False
    listed: Annotated[bool, Says("of an option in a file: whether its word stands alone in a list")] = False
    usual: Annotated[int | None, Says("number where the line leaves it out and means it; null: it cannot")] = None
    among: Annotated[list[int], Says("numbers that it takes; none: all")] = []


class Others(Record):
    """Flags that a prediction does not depend on, or that are not modelled, by what follows them."""

    values: Annotated[list[Text], Says("a value follows")] = []
    switches: Annotated[list[Text], Says("nothing follows")] = []
    lists: Annotated[list[Text], Says("values follow, up to the next flag")] = []

    def takes(self, flag: str) -> Takes | None:
        """What follows a flag, None where it is none of these."""
        if flag in self.switches:
            return "switch"
        return "value" if flag in self.values else "list" if flag in self.lists else None


class OptionsFile(Record):
    """The YAML file of options that a flag names; they hold over flags that say the same."""

    flag: Annotated[Text, Says("the flag that names it")]
    also: Annotated[list[Text], Says("other spellings")] = []
    options: Annotated[dict[Text, Flag], Says("options that a prediction depends on, by path: block.option")]
    off: Annotated[list[Text], Says("switches of which only their being off is modelled, by path")] = []
    inert: Annotated[list[Text], Says("options that change neither times nor memory, by path; others are refused")] = []


class LaunchFlags(Record):
    """The argument list of one engine at one version."""

    name: Annotated[Text, Says("the engine")]
    version: Annotated[Text, Says("the version whose argument list was read")]
    source: Annotated[Text, Says("file and release")]
    ref: Annotated[Text, Says("where it is")]
    programs: Annotated[list[Text], Field(min_length=1, description="words that a launch line begins with")]
    model: Annotated[list[Text], Says("flags that name the model, which may stand without one too")]
    suffixes: Annotated[bool, Says("whether 8k is 8,000 and 8K 8,192")] = False
    underscores: Annotated[bool, Says("whether --max_num_seqs is --max-num-seqs")] = False
    negation: Annotated[Text | None, Says("what a switch begins with to be off, --no-")] = None
    flags: Annotated[dict[Text, Flag], Says("flags that a prediction depends on")]
    file: Annotated[OptionsFile | None, Says("options that stand in a file")] = None
    environment: Annotated[list[Text], Says("environment variables that change neither times nor memory")] = []
    inert: Annotated[Others, Says("flags that change neither times nor memory")]
    refused: Annotated[Others, Says("flags that do, and are not modelled")]
    whole: Annotated[bool, Says("whether these are all flags that it has; else others are refused too")] = True
    presets: Annotated[dict[Text, Text], Says("models by what it calls them, a family and its flavor")] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = self.known
        if twice := next((flag for flag in known if known.count(flag) > 1), None):
            msg = f"{twice}: stands twice"
            raise ValueError(msg)
        return self

    @functools.cached_property
    def spellings(self) -> dict[str, str]:
        """Each spelling of a flag that a prediction depends on -> the flag."""
        return {word: flag for flag, each in self.flags.items() for word in (flag, *each.also)}

    @functools.cached_property
    def _listed(self) -> list[str]:
        return [flag for some in (self.inert, self.refused) for flag in (*some.values, *some.switches, *some.lists)]

    @functools.cached_property
    def known(self) -> list[str]:
        """Every flag in every spelling."""
        named = [self.file.flag, *self.file.also] if self.file else []
        return [*self.spellings, *self.model, *named, *self._listed]

    @functools.cached_property
    def by_meaning(self) -> dict[Meaning, Flag]:
        """Each meaning -> the flag that says it, or else the option of the file."""
        every = [*self.flags.values(), *(self.file.options.values() if self.file else ())]
        return {flag.means: flag for flag in reversed(every)}

    @functools.cached_property
    def meanings(self) -> list[Meaning]:
        """All that can be said, flags first."""
        every = [*self.flags.values(), *(self.file.options.values() if self.file else ())]
        return list(dict.fromkeys(flag.means for flag in every))

    def flag_of(self, meaning: str) -> str | None:
        """The flag that says so, None where the engine has none."""
        return next((name for name, flag in self.flags.items() if flag.means == meaning), None)


def launched_engines() -> list[str]:
    """The engines whose launch lines are written and read.

    >>> launched_engines()
    ['sglang', 'tensorrt-llm', 'vllm']
    """
    return list(_listed("launch"))


@functools.cache
def _listed(folder: str) -> tuple[str, ...]:
    """Read once: each layout that is offered asks."""
    return tuple(sorted(path.stem for path in (data_folder("engines") / folder).glob("*.yaml")))


@functools.cache
def training_flags(engine: str) -> LaunchFlags:
    """The configuration of what trains. Raises UsageError for what has none here.

    >>> training_flags("torchtitan").version
    '0.2.2'
    """
    return _flags_in("training", engine)


@functools.cache
def launch_flags(engine: str) -> LaunchFlags:
    """The argument list of an engine. Raises UsageError for one that has none here.

    >>> launch_flags("vllm").flag_of("tp"), launch_flags("sglang").flag_of("dcp")
    ('--tensor-parallel-size', None)
    """
    return _flags_in("launch", engine)


def _flags_in(folder: str, engine: str) -> LaunchFlags:
    if engine not in (names := _listed(folder)):
        msg = f"launch {shown(engine)}: no argument list of that engine; {near_matches(engine, names)}"
        raise UsageError(msg)
    path = data_folder("engines") / folder / f"{engine}.yaml"
    return validated(LaunchFlags, read_yaml(path), str(path.name))
