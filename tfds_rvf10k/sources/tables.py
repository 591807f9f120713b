"""CSV files beside the images. They list the images, or are compared with what folders hold."""

import csv
import dataclasses
import io
import posixpath
from collections import Counter
from collections.abc import Collection, Iterator, Set

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.sources.source import Source, UnreadableFile
from tfds_rvf10k.sources.source_images import Layout, Listing, Problem

_PATH_COLUMNS = ("path", "filename", "file")
_LABEL_COLUMNS = ("label_str", "label")
_MAX_BYTES = 2**30
_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    source: Source
    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]

    def column(self, wanted: str, known: tuple[str, ...]) -> str:
        """The name of the column `wanted`; if that is "", of the first of `known` that exists.

        Raises:
          DatasetError: none of them exists.
        """
        names = (wanted,) if wanted else known
        for name in names:
            if name in self.columns:
                return name
        what = f"no column {' or '.join(map(repr, names))} among {list(self.columns)}"
        if known == _PATH_COLUMNS:  # no field of a config names it
            remedy, option = f"call the one with the paths {known[0]!r}", ""
        else:
            option = "label_column" if known == _LABEL_COLUMNS else "group_column"
            remedy = f'name the right one with "{option}" in the config'
        others = [name for name in self.columns if name not in _PATH_COLUMNS]
        raise DatasetError(
            f"{self.source}/{self.name}: {what}", remedy, option=option, found=others
        )


def find(source: Source, name: str, found: Collection[str]) -> Table | None:
    """Finds the table of this name in a source, or up to two levels above, where archives have it.

    Args:
      source: the folder with the images.
      name: "train.csv".
      found: files of the split. A table above that names none of them is of another dataset.

    Returns:
      The table, or None if there is none.
    """
    if source.is_file(name):
        return read(source, name)
    above = source.parent()
    for _ in range(2):
        if above is None:
            return None
        try:
            table = read(above, name) if above.is_file(name) else None
        except (DatasetError, OSError):  # a table that cannot be read is not of this dataset
            table = None
        if table and "path" in table.columns and _names_any(table, found):
            return table
        above = above.parent()
    return None


def _names_any(table: Table, found: Collection[str]) -> bool:
    return any(posixpath.normpath(row["path"]) in found for row in table.rows)


def read(source: Source, name: str) -> Table:
    """Reads a CSV file with a header, in UTF-8 with or without a byte order mark.

    Raises:
      DatasetError: the file cannot be read.
    """
    try:
        text = source.read(name, _MAX_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
        rows = list(reader)
    except UnreadableFile as error:
        raise DatasetError(f"{source}/{name}: {error.what}", error.remedy) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{source}/{name}: not a readable CSV file ({error})", "save it as CSV in UTF-8"
        ) from error
    return Table(source, name, tuple(reader.fieldnames or ()), rows)


def check(table: Table, split: str, found: Set[str], layout: Layout, listing: Listing) -> None:
    """Compares a split's table with the files in its folders, and takes the groups from it.

    Rows of `valid` without files are counted and no problem: a smaller test set is still a test
    set. A training set that lacks files would have other folds than everybody else's.

    Args:
      table: of the split.
      split: train or valid.
      found: names of all files in the split's class folders.
      layout: names of the classes and of the columns.
      listing: images of the split are in it; their groups and all problems are added.

    Raises:
      DatasetError: a column that the layout names does not exist.
    """
    rows = _by_name(table, listing)
    if _swapped(rows.keys() - found, found - rows.keys(), layout):
        what = f"{table.name} has every image in the other class's folder"
        listing.problems.append(Problem(" and ".join(layout.names), what, "swap their names"))
        return
    listing.missing[split] = sorted(rows.keys() - found)
    if split == "train":
        what, remedy = f"{table.name} names it, but it is not there", "get it, or remove the row"
        listing.problems += [Problem(name, what, remedy) for name in listing.missing[split]]
    images = {image.filename for image in listing.images if image.split == split}
    what, remedy = f"{table.name} does not name it", "add a row, or remove it"
    listing.problems += [Problem(name, what, remedy) for name in sorted(images - rows.keys())]
    labels, groups = _label_column(table, layout), layout.group_column
    if groups:
        table.column(groups, ())
    for index, image in enumerate(listing.images):
        if image.split != split or image.filename not in rows:
            continue
        row = rows[image.filename]
        if labels and row[labels] != layout.names[image.label]:
            what = f"{table.name} calls it {row[labels]!r}"
            problem = Problem(image.filename, what, "move it, or correct the row")
            listing.problems.append(problem)
        if groups and row[groups]:
            listing.images[index] = dataclasses.replace(image, group=row[groups])


def _swapped(missing: Set[str], extra: Set[str], layout: Layout) -> bool:
    """Whether the names of the class folders are swapped between the table and the tree.

    Args:
      missing: files that have a row and are not there.
      extra: files that are there and have no row.
      layout: names of the classes.
    """
    real, fake = layout.names
    other = {real: fake, fake: real}
    swapped = {"/".join(other.get(part, part) for part in name.split("/")) for name in missing}
    return bool(missing) and swapped == extra


def _by_name(table: Table, listing: Listing) -> dict[str, dict[str, str]]:
    """Rows by the file that they name. Two rows for one file are a problem."""
    path_column = table.column("", _PATH_COLUMNS)
    rows: dict[str, dict[str, str]] = {}
    for row in table.rows:
        name = posixpath.normpath(row[path_column])
        if name in rows:
            listing.problems.append(Problem(name, f"twice in {table.name}", "remove a row"))
        rows[name] = row
    return rows


def _label_column(table: Table, layout: Layout) -> str:
    """The column that says real or fake, "" if none does.

    A column of numbers is not used: nothing says which number is real.
    """
    if layout.label_column:
        return table.column(layout.label_column, ())
    if "label_str" in table.columns:
        return "label_str"
    values = {row.get("label") for row in table.rows}
    return "label" if values and values <= set(layout.names) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """An image that a table lists."""

    filename: str
    split: str
    label: int
    group: str


def rows_of_images(table: Table, layout: Layout, listing: Listing) -> Iterator[Row]:
    """Yields the images that a table lists. Problems of its rows are added to the listing.

    Raises:
      DatasetError: a column does not exist, or the labels are not the two names of the layout.
    """
    path_column = table.column("", _PATH_COLUMNS)
    label_column = table.column(layout.label_column, _LABEL_COLUMNS)
    group_column = table.column(layout.group_column, ()) if layout.group_column else ""
    _refuse_other_values(table, label_column, layout)
    seen: set[str] = set()
    for row in table.rows:
        name = posixpath.normpath(row[path_column])
        split = _SPLITS.get(row.get("split", "train"))
        if name.startswith(("/", "../")) or name == "..":
            what, remedy = "leads out of the table's folder", "give paths relative to it"
        elif name in seen:
            what, remedy = f"twice in {table.name}", "remove a row"
        elif split is None:
            what, remedy = f"split {row['split']!r} is neither train nor valid", "remove the row"
        else:
            seen.add(name)
            label = layout.names.index(row[label_column])
            yield Row(name, split, label, row[group_column] if group_column else "")
            continue
        listing.problems.append(Problem(name, what, remedy))


def _refuse_other_values(table: Table, column: str, layout: Layout) -> None:
    """Raises DatasetError if a label column holds other values than the names of the classes."""
    counts = Counter(row[column] for row in table.rows)
    if counts.keys() <= set(layout.names):
        return
    found, (real, fake) = sorted(counts), layout.names
    raise DatasetError(
        f"{table.source}/{table.name}: column {column!r} has {found[:5]}, not only {real!r} and "
        f"{fake!r}",
        'say which is which with "real" and "fake" in the config',
        option="real",
        found=found,
    )
