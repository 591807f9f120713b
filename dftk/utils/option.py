"""Fields of a config dataclass as command-line flags.

A field made by `option` is one flag of the field's name. A field made by `section` holds another
dataclass whose fields are flags, too; each has the section's prefix or a name of its own. So a
config has the structure that its owners give it, while its flags stay one flat list.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class PhaseConfig:
        epochs: int = option(1, "Epochs of {phase}.", low=0)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        seed: int = option(42, "Seed of everything that is random.")
        frozen: PhaseConfig = section(PhaseConfig(epochs=20), prefix="frozen_", phase="phase 1")

    [flag.name for flag in flags_of(Config)]  # ["seed", "frozen_epochs"]
    values_of(from_values(Config, {"frozen_epochs": 3}))  # {"seed": 42, "frozen_epochs": 3}
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag of a config.

    Attributes:
      name: of the flag, without dashes.
      path: names of the fields that lead to its value, from the config down.
      kind: type of the value; None may be allowed beside it.
      default: value that the flag has if nothing else is given.
      help: text for --help.
      low: smallest value, or None.
      choices: values that are allowed; empty if any is.
    """

    name: str
    path: tuple[str, ...]
    kind: type
    default: Any
    help: str
    low: float | None
    choices: tuple[Any, ...]


def option(
    default: Any, text: str, *, low: float | None = None, choices: tuple = (), flag: str = ""
) -> Any:
    """Returns a dataclass field that is a flag.

    Args:
      default: of the field.
      text: for --help; words in braces are filled in by the section that holds the dataclass.
      low: smallest value.
      choices: values that are allowed; any, if empty.
      flag: name of the flag where it is not the section's prefix and the field's name.
    """
    metadata = {"help": text, "low": low, "choices": choices, "flag": flag}
    return dataclasses.field(default=default, metadata=metadata)


def section(default: Any, *, prefix: str = "", **words: str) -> Any:
    """Returns a dataclass field that holds another dataclass of options.

    Args:
      default: instance whose values are the flags' defaults.
      prefix: begins the names of its flags.
      words: replace the words of these names, in braces, in its help texts.
    """
    metadata = {"section": prefix, "words": words}
    return dataclasses.field(default=default, metadata=metadata)


def flags_of(config: type | Any) -> list[Flag]:
    """Returns the flags of a config class or instance; values of an instance are the defaults."""
    return list(_flags(config, config, (), "", {}))


def _flags(
    cls: type | Any, defaults: Any, path: tuple[str, ...], prefix: str, words: Mapping[str, str]
) -> Iterator[Flag]:
    hints = typing.get_type_hints(cls if isinstance(cls, type) else type(cls))
    for field in dataclasses.fields(cls):
        default = getattr(defaults, field.name)  # a dataclass keeps a plain default as attribute
        here = (*path, field.name)
        if "section" in field.metadata:
            inner = field.metadata
            yield from _flags(hints[field.name], default, here, inner["section"], inner["words"])
            continue
        kind = hints[field.name]
        yield Flag(
            name=field.metadata["flag"] or f"{prefix}{field.name}",
            path=here,
            kind=next(k for k in (typing.get_args(kind) or (kind,)) if k is not type(None)),
            default=default,
            help=field.metadata["help"].format(**words) if words else field.metadata["help"],
            low=field.metadata["low"],
            choices=field.metadata["choices"],
        )


def values_of(config: Any) -> dict[str, Any]:
    """Returns every value of a config by the name of its flag."""
    return {flag.name: flag.default for flag in flags_of(config)}


def from_values(cls: type[Made], values: Mapping[str, Any], base: Any = None) -> Made:
    """Returns a config with these values, by flag; the others are those of `base`, or defaults.

    Raises:
      TypeError: there is no flag of such a name.
    """
    flags = {flag.name: flag for flag in flags_of(cls if base is None else base)}
    if unknown := sorted(values.keys() - flags.keys()):
        raise TypeError(f"{cls.__name__} has no flag {', '.join(unknown)}")
    tree: dict[str, Any] = {}
    for name, flag in flags.items():
        branch = tree
        for field in flag.path[:-1]:
            branch = branch.setdefault(field, {})
        branch[flag.path[-1]] = values.get(name, flag.default)
    return _built(cls, tree)


def _built(cls: type, tree: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(cls)
    return cls(
        **{
            field.name: _built(hints[field.name], tree[field.name])
            if "section" in field.metadata
            else tree[field.name]
            for field in dataclasses.fields(cls)
        }
    )


def as_words(values: Mapping[str, Any]) -> str:
    """Returns values as NAME=VALUE, one after the other, for help texts and errors."""
    return " ".join(f"{name}={value}" for name, value in values.items())
