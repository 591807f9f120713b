"""Which images a source holds, of which split and class, and what is wrong with its layout."""

import dataclasses
from collections.abc import Iterator, Sequence

from etils import epath

from tfds_rvf10k import tables
from tfds_rvf10k.sources import Source

CLASS_NAMES = ("real", "fake")  # what labels 0 and 1 are called in the built dataset
SUFFIXES = (".jpg", ".jpeg", ".png")
_SPLIT_FOLDERS = {"train": ("train",), "valid": ("valid", "val", "validation")}
_DEPTH = 3  # folders between what the user names and the tree; Kaggle's archives have up to two


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
      group_column: of a table; "" for no groups.
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
            shown = filename.encode(errors="backslashreplace").decode()
            self.problems.append(Problem(shown, "its name is not UTF-8; rename it"))
            return
        if not filename.lower().endswith(SUFFIXES):
            self.problems.append(
                Problem(filename, f"its name ends in none of {' '.join(SUFFIXES)}; convert, rename "
                        "or remove it")
            )  # fmt: skip
            return
        self.images.append(SourceImage(filename, split, label, group))


def find_source(given: str, layout: Layout, instructions: str) -> Source:
    """Returns the folder that holds `train/real` and `train/fake`, `real` and `fake`, or the table.

    Args:
      given: that folder, one up to three levels above, a zip archive with it, or its folder; an
        archive is read in place and never unpacked.
      layout: names of the class folders, or of the table.
      instructions: how to get the data, for the error.

    Raises:
      FileNotFoundError: no such folder and no such archive.
      ValueError: more than one, or an archive that is not safe to read.
    """
    given = given.rstrip("/") or "/"
    if given.lower().endswith(".zip") and not epath.Path(given).is_dir():
        tops = [Source(given, "")]
    else:
        archives = sorted(str(path) for path in epath.Path(given).glob("*.zip"))
        tops = [Source(given), *(Source(path, "") for path in archives)]
    for top in tops:
        if found := _find_below(top, layout):
            if len(found) > 1:
                raise ValueError(
                    f"{given}: {len(found)} datasets in it: {', '.join(map(str, found))}; give one "
                    "of them as --manual_dir"
                )
            return found[0]
    real, fake = layout.names
    wanted = layout.table or f"train/{real} and train/{fake}, nor {real} and {fake},"
    there = ", ".join(name + "/" for name in tops[0].entries("")[0][:10]) or "no folders"
    raise FileNotFoundError(
        f"no {wanted} in {given} (there: {there}), nor {_DEPTH} levels below, nor in a zip there. "
        f"{instructions}"
    )


def _find_below(top: Source, layout: Layout) -> list[Source]:
    """The trees at the first level that has any."""
    level = [top]
    for _ in range(_DEPTH + 1):
        if found := [source for source in level if _is_tree(source, layout)]:
            return found
        level = [below for source in level for below in _folders(source)]
    return []


def _folders(source: Source) -> Iterator[Source]:
    try:
        folders, _ = source.entries("")
    except OSError:  # not ours to look into, and so not the tree
        return
    for name in folders:
        yield source.below(name)


def _is_tree(source: Source, layout: Layout) -> bool:
    if layout.table:
        return source.is_file(layout.table)
    return any(
        all(source.is_folder(prefix + name) for name in layout.names) for prefix in ("train/", "")
    )


def list_images(source: Source, layout: Layout) -> Listing:
    """Lists a source's images sorted by filename, so that no filesystem's order shows.

    Raises:
      ValueError: a table whose columns or values cannot be understood.
    """
    listing = Listing()
    if layout.table:
        _from_table(source, layout, listing)
    elif source.is_folder(f"train/{layout.names[0]}"):
        for split, folders in _SPLIT_FOLDERS.items():
            _from_split(source, layout, listing, split, folders)
        if source.is_folder("test"):
            listing.notes.append(f"{source}/test is left alone: no training run may see it")
    else:
        _from_classes(source, layout, listing, "train", "")
    listing.images.sort(key=lambda image: image.filename)
    return listing


def _from_split(
    source: Source, layout: Layout, listing: Listing, split: str, folders: Sequence[str]
) -> None:
    there = [folder for folder in folders if source.is_folder(folder)]
    if len(there) > 1:
        listing.problems.append(Problem(there[1], f"{there[0]} is there too; keep one of them"))
    if not there:
        return
    folder = there[0]
    classes, loose = source.entries(folder)
    for name in classes:
        if name not in layout.names:
            what = f"neither {layout.names[0]} nor {layout.names[1]}; rename or remove the folder"
            listing.problems.append(Problem(f"{folder}/{name}", what))
    for name in loose:
        what = f"in no class folder; move it into {layout.names[0]} or {layout.names[1]}"
        listing.problems.append(Problem(f"{folder}/{name}", f"{what}, or remove it"))
    found = _from_classes(source, layout, listing, split, folder)
    if table := tables.find(source, f"{folder}.csv"):
        tables.check(table, split, found, layout, listing)


def _from_classes(
    source: Source, layout: Layout, listing: Listing, split: str, folder: str
) -> set[str]:
    """Adds what the class folders hold; returns the names of all files in them."""
    found: set[str] = set()
    for label, class_name in enumerate(layout.names):
        where = f"{folder}/{class_name}" if folder else class_name
        if not source.is_folder(where):
            listing.problems.append(Problem(where, "no such folder; get it, or remove the other"))
            continue
        before = len(found)
        for name, trouble in source.walk(where):
            if trouble:
                listing.problems.append(Problem(name, trouble))
            else:
                found.add(name)
                listing.add(name, split, label)
        if len(found) == before:
            listing.problems.append(Problem(where, "an empty folder; get its images"))
    return found


def _from_table(source: Source, layout: Layout, listing: Listing) -> None:
    table = tables.read(source, layout.table)
    for row in tables.rows_of_images(table, layout, listing):
        listing.add(row.filename, row.split, row.label, row.group)
