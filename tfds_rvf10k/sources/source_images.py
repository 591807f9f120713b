"""What a source holds, as it is listed before any file is opened."""

import dataclasses

CLASS_NAMES = ("real", "fake")  # what labels 0 and 1 are called in the built dataset
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True, slots=True)
class SourceImage:
    """One image file."""

    filename: str  # relative to the source, with forward slashes: "train/real/28609.jpg"
    split: str  # train or valid
    label: int  # index into CLASS_NAMES
    group: str = ""  # images of one group share a fold; "" is in none


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, folder or row, and after a semicolon what to do about it."""

    filename: str
    what: str

    def __post_init__(self) -> None:
        # Bytes that are no UTF-8 could be written to no table.
        shown = self.filename.encode(errors="backslashreplace").decode()
        object.__setattr__(self, "filename", shown)

    def __str__(self) -> str:
        name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in self.filename)
        return f"{name}: {self.what}"  # a line, whatever the name holds


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a source says what is what.

    Attributes:
      names: of the folders, or of the values in a table, that mean real and fake.
      table: a CSV file that lists the images; "" goes by folders.
      label_column: of a table; "" takes `label_str`, else `label`.
      group_column: of a table, also of train.csv and valid.csv; "" for no groups.
    """

    names: tuple[str, str] = CLASS_NAMES
    table: str = ""
    label_column: str = ""
    group_column: str = ""


@dataclasses.dataclass
class Listing:
    """What a source holds."""

    images: list[SourceImage] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    missing: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # rows without files
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, filename: str, split: str, label: int, group: str = "") -> None:
        """An image, or a problem if its name says that it is none."""
        try:
            filename.encode()
        except UnicodeEncodeError:
            self.problems.append(Problem(filename, "its name is not UTF-8; rename it"))
            return
        if not filename.lower().endswith(SUFFIXES):
            self.problems.append(
                Problem(filename, f"its name ends in none of {' '.join(SUFFIXES)}; convert, rename "
                        "or remove it")
            )  # fmt: skip
            return
        self.images.append(SourceImage(filename, split, label, group))
