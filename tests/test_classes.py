"""A frozen class behaves as the standard library's frozen, slotted dataclass of the same fields."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from roofline.classes import frozen


def _classes(make: Callable[[Any], Any]) -> Any:
    """A class with every kind of field that the house uses, made by one decorator or the other."""

    class Parent:
        """The first fields."""

        unit: ClassVar[str] = "s"
        first: int
        seen: list[int] = field(default_factory=list, compare=False, repr=False)

    parent = make(Parent)

    class Child(parent):  # type: ignore[misc,valid-type]
        """Further ones."""

        second: float = 1.5
        known: dict[str, int] = field(init=False, default_factory=dict, compare=False)
        usual: int = field(init=False, default=7)
        twice: int = field(init=False)

        def __post_init__(self) -> None:
            if self.first < 0:
                msg = f"given {self.first}, expected 0 or more"
                raise ValueError(msg)
            object.__setattr__(self, "twice", 2 * self.first)

    return make(Child)


@frozen
class Point:
    """Where something is."""

    x: int
    y: tuple[int, ...] = ()


Ours = _classes(frozen)
Theirs = _classes(dataclass(frozen=True, slots=True))


@pytest.mark.parametrize("values", [(1,), (1, [2]), (1, [2], 3.0)])
def test_it_shows_compares_and_hashes_as_the_standard_one(values: tuple[Any, ...]) -> None:
    ours, theirs = Ours(*values), Theirs(*values)
    assert repr(ours) == repr(theirs)
    assert asdict(ours) == asdict(theirs)
    assert hash(ours) == hash(theirs)
    assert ours == Ours(*values)
    assert ours != theirs
    assert not any((ours == Ours(2), theirs == Theirs(2), ours == "else"))
    assert [each.name for each in fields(ours)] == [each.name for each in fields(theirs)]
    assert replace(ours, second=9.0) == Ours(*values[:2], second=9.0)
    assert Ours.__match_args__ == Theirs.__match_args__


def test_what_each_makes_for_itself_is_its_own() -> None:
    one, other = Ours(1), Ours(1)
    one.seen.append(3)
    one.known["a"] = 1
    assert (other.seen, other.known, one == other) == ([], {}, True)


@pytest.mark.parametrize("kind", [Ours, Theirs])
def test_it_refuses_what_the_standard_one_refuses(kind: Any) -> None:
    made = kind(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'first'"):
        made.first = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'first'"):
        del made.first
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        kind()
    with pytest.raises(TypeError, match="unexpected keyword argument 'third'"):
        kind(1, third=2)
    with pytest.raises(ValueError, match="given -1, expected 0 or more"):
        kind(-1)
    assert not hasattr(made, "__dict__")


def test_it_is_copied_and_pickled() -> None:
    point = Point(1, (2, 3))
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == copy.copy(point) == point


def test_without_equality_each_is_itself() -> None:
    @frozen(eq=False)
    class Alone:
        """Something."""

        x: int

    one = Alone(1)
    assert one != Alone(1)
    assert {one: 1}[one] == 1
