"""What a source holds, as it is listed before any file is opened."""

import dataclasses

CLASS_NAMES = ("real", "fake")  # the names of labels 0 and 1 in the built dataset
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True, slots=True)
class SourceImage:
    """One image file."""

    filename: str  # relative to the source, with forward slashes: "train/real/28609.jpg"
    split: str  # train or valid
    label: int  # index into CLASS_NAMES
    group: str = ""  # images of one group share a fold; "" is no group


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, a folder or a row of a table.

    Attributes:
      filename: of the file or folder. Bytes that are not UTF-8 are written as escapes.
      what: what is wrong with it.
      remedy: what to do about it.
      setting: the field of the config that makes it no problem; "" if there is none. A program with
        options of its own names the one that sets this field.
    """

    filename: str
    what: str
    remedy: str
    setting: str = ""

    def __post_init__(self) -> None:
        shown = self.filename.encode(errors="backslashreplace").decode()
        object.__setattr__(self, "filename", shown)

    @property
    def text(self) -> str:
        """What is wrong and what to do about it, without the name; with the field to set."""
        field = f', or give the config "{self.setting}": true' if self.setting else ""
        return f"{self.what}; {self.remedy}{field}"

    @property
    def printable_name(self) -> str:
        """The name on one line, whatever characters it has."""
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in self.filename)

    def __str__(self) -> str:
        return f"{self.printable_name}: {self.text}"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a source tells splits, classes and groups.

    Attributes:
      names: what it calls real and fake: names of folders, or values in a table.
      table: a CSV file that lists the images; "" if the folders do.
      label_column: of a table; "" takes `label_str`, else `label`.
      group_column: of a table, also of train.csv and valid.csv; "" for no groups.
    """

    names: tuple[str, str] = CLASS_NAMES
    table: str = ""
    label_column: str = ""
    group_column: str = ""


@dataclasses.dataclass
class Listing:
    """What a source holds.

    Attributes:
      images: all files that are images by their names.
      problems: what is wrong with files, folders and rows.
      missing: for each split the files that its table names and that are not there.
      notes: what a reader should know.
    """

    images: list[SourceImage] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    missing: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, filename: str, split: str, label: int, group: str = "") -> None:
        """Adds an image, or a problem if the file is no image by its name."""
        try:
            filename.encode()
        except UnicodeEncodeError:
            self.problems.append(Problem(filename, "its name is not UTF-8", "rename it"))
            return
        if not filename.lower().endswith(SUFFIXES):
            what = f"its name ends in none of {' '.join(SUFFIXES)}"
            self.problems.append(Problem(filename, what, "convert, rename or remove it"))
            return
        self.images.append(SourceImage(filename, split, label, group))
