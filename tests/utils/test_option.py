import dataclasses

import pytest

from dftk.utils.option import as_words, flags_of, from_values, option, section, values_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    size: int = option(1, "Size of {what}.", low=1)
    kind: str | None = option(None, "Kind.", choices=("a", "b"), flag="part_kind")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    seed: int = option(42, "Seed.")
    left: Part = section(Part(size=3), prefix="left_", what="the left")
    right: Part = section(Part(kind="b"), prefix="right_", what="the right")


@dataclasses.dataclass(frozen=True, kw_only=True)
class One:
    part: Part = section(Part(size=5), prefix="part_", what="it")


def test_flags_have_the_sections_prefix_defaults_and_words():
    flags = {flag.name: flag for flag in flags_of(One)}
    assert list(flags) == ["part_size", "part_kind"]
    assert (flags["part_size"].default, flags["part_size"].help) == (5, "Size of it.")
    assert (flags["part_size"].kind, flags["part_size"].low) == (int, 1)
    assert (flags["part_kind"].kind, flags["part_kind"].choices) == (str, ("a", "b"))
    assert flags["part_kind"].path == ("part", "kind")


def test_a_config_comes_back_from_its_values():
    made = from_values(One, {"part_size": 7})
    assert made == One(part=Part(size=7))
    assert values_of(made) == {"part_size": 7, "part_kind": None}
    assert from_values(One, values_of(made)) == made
    assert from_values(One, {"part_kind": "a"}, base=made) == One(part=Part(size=7, kind="a"))


def test_one_dataclass_serves_two_sections():
    assert Whole().left.size == 3
    assert [flag.help for flag in flags_of(Whole) if flag.name.endswith("_size")] == [
        "Size of the left.", "Size of the right.",
    ]  # fmt: skip


def test_an_unknown_flag_is_named():
    with pytest.raises(TypeError, match="One has no flag part_colour"):
        from_values(One, {"part_colour": 1})


def test_words_are_flags_without_dashes():
    assert as_words({"l2": 0.01, "weights": "none"}) == "l2=0.01 weights=none"
