"""An option is stated once: its definition is all that Python, the command line and its help need to know."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import Annotated, Any, Literal, Unpack, cast

import click
import pytest
from click.testing import CliRunner

import roofline
from roofline.cli.app import app
from roofline.cli.verb import Verb
from roofline.errors import UsageError
from roofline.options import groups
from roofline.options.keywords import completed, part, takes
from roofline.options.option import Field, Option, fields_of
from roofline.options.verbs import libraries, measuring, operators, pictures, predicting, serving, sweeping, training
from roofline.program.conventions import Conventions
from roofline.program.workload import DEFAULT_ENCODER_PROMPT, DEFAULT_GENERATE, DEFAULT_PROMPT
from roofline.serving.scenario import KEPT

VERBS = {
    name: group
    for module in (libraries, measuring, operators, pictures, predicting, serving, sweeping, training)
    for name, group in vars(module).items()
}
EVERY = [group for name, group in VERBS.items() if name.endswith(("Options", "Flags", "Output"))]


class Extended(predicting.PredictOptions, total=False):
    """The keywords of ``predict``, and a new one."""

    colour: Annotated[Literal["red", "blue"], Option("What it looks like.", default="red", everyday=True)]


def test_a_new_option_is_a_keyword_and_a_flag_by_its_definition_alone() -> None:
    @takes(Extended)
    def look(model: str, **options: Unpack[Extended]) -> str:
        return f"{model} {options['colour']} {options['batch']}"

    assert look("gpt2") == "gpt2 red 1"
    assert look("gpt2", colour="blue", batch=4) == "gpt2 blue 4"
    shown = inspect.signature(look).parameters
    assert (shown["colour"].default, shown["colour"].kind) == ("red", inspect.Parameter.KEYWORD_ONLY)
    with pytest.raises(UsageError, match=r"^--colour 'pink': expected red or blue$"):
        look("gpt2", colour="pink")  # type: ignore[arg-type]

    told: list[Any] = []

    def run(flags: Extended) -> None:
        told.append(flags)

    command = Verb(run, Extended)
    assert CliRunner().invoke(command, ["--colour", "blue"]).exit_code == 0
    assert (told[0]["colour"], told[0]["batch"], told[0]["set"]) == ("blue", 1, {})
    assert isinstance(CliRunner().invoke(command, ["--colour", "pink"]).exception, UsageError)
    assert "--colour red|blue" in CliRunner().invoke(command, ["--help"]).output


def test_help_of_python_shows_every_keyword() -> None:
    for verb, options in (("predict", "Predict"), ("compare", "Compare"), ("size", "Size"), ("predict_op", "Op")):
        shown = inspect.signature(getattr(roofline, verb)).parameters
        assert set(shown) >= {field.name for field in fields_of(VERBS[f"{options}Options"])}
        assert all(each.kind is not each.VAR_KEYWORD for each in shown.values())


@pytest.mark.parametrize("group", EVERY, ids=lambda group: group.__name__)
def test_every_option_says_what_it_takes_and_what_is_usual(group: type) -> None:
    for field in fields_of(group):
        option = field.option
        assert option.help.endswith(".") or option.help.endswith("..."), field.name
        assert option.help[0].isupper() or option.help.split()[0].endswith(","), field.name  # a list of words
        plain = {int, bool} & set(field.kinds)
        assert option.metavar or field.words or plain, f"{field.name} has no unit or name of a value"
        if option.default is not None and field.words:
            field.check(option.default)
        if NoneType not in field.kinds and Any not in field.kinds:
            assert option.default is not None, field.name


def test_a_name_means_one_thing_within_a_verb_and_a_flag_is_spelled_once() -> None:
    def walk(command: click.Command) -> None:
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            walk(inner)
        params = command.get_params(click.Context(command))
        spelled = [word for param in params for word in (*param.opts, *param.secondary_opts)]
        assert len(spelled) == len(set(spelled))

    walk(app)


def test_what_is_left_out_is_filled_in_and_what_is_strange_refused() -> None:
    assert completed(groups.Conventions, {"count": "square"}, "f") == {
        "attention": "fused",
        "count": "square",
        "fusion": None,
        "lm_head": "last",
        "routing": "uniform",
    }
    with pytest.raises(UsageError, match="f: counts is no keyword of it; did you mean count"):
        completed(groups.Conventions, {"counts": "square"}, "f")
    with pytest.raises(UsageError, match="--count None: expected attended or square"):
        completed(groups.Conventions, {"count": None}, "f")
    assert part(groups.Dtype, {"dtype": None, "batch": 3}) == {"dtype": None}


def test_defaults_that_other_rooms_know_are_the_same() -> None:
    usual = {field.name: field.option for group in EVERY for field in fields_of(group)}
    prompt = {field.name: field.option for field in fields_of(groups.Lengths)}["prompt"].usual
    assert prompt.startswith(f"{DEFAULT_PROMPT}, encoders {DEFAULT_ENCODER_PROMPT}")
    assert {field.name: field.option for field in fields_of(groups.Lengths)}["generate"].usual == str(DEFAULT_GENERATE)
    assert usual["utilization"].default == tuple(map(float, usual["utilization"].usual.split(",")))
    assert usual["reserve"].usual.endswith(f"0, in compare, size and train {KEPT}")
    conventions = {field.name: field.option.default for field in fields_of(groups.Conventions)}
    assert Conventions.of(cast(groups.Conventions, conventions)) == Conventions()


def test_words_of_an_option_are_those_of_its_type() -> None:
    field = Field("word", Literal["a", "b"] | None, Option("A word."))
    field.check(None)
    assert field.words == ("a", "b")
    with pytest.raises(UsageError):
        Field("word", Literal["a", "b"], Option("A word.")).check(None)
