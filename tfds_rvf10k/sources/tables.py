"""CSV files beside the images: they list images, or confirm what the folders hold."""

import csv
import dataclasses
import io
import posixpath
from collections import Counter
from collections.abc import Collection, Iterator, Set

from tfds_rvf10k.sources.source import Source, Unreadable
from tfds_rvf10k.sources.source_images import Layout, Listing, Problem

_PATH_COLUMNS = ("path", "filename", "file")
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
        """The column `wanted` if that is given, else the first known one that is there.

        Raises:
          ValueError: none of them.
        """
        names = (wanted,) if wanted else known
        for name in names:
            if name in self.columns:
                return name
        remedy = "name the one that is meant in the config"
        if known == _PATH_COLUMNS:  # a config cannot
            remedy = f"call the one with the paths {known[0]!r}"
        raise ValueError(
            f"{self.source}/{self.name}: no column {' or '.join(map(repr, names))} among "
            f"{list(self.columns)}; {remedy}"
        )


def find(source: Source, name: str, found: Collection[str]) -> Table | None:
    """The table of this name in a source, or up to two levels above, where archives have it.

    Args:
      source: a tree.
      name: "train.csv".
      found: files of the split; a table above that names none of them is another dataset's.
    """
    if source.is_file(name):
        return read(source, name)
    above = source.above()
    for _ in range(2):
        if above is None:
            return None
        try:
            table = read(above, name) if above.is_file(name) else None
        except (ValueError, OSError):  # nor is what cannot be read this dataset's
            table = None
        if table and "path" in table.columns and _names_any(table, found):
            return table
        above = above.above()
    return None


def _names_any(table: Table, found: Collection[str]) -> bool:
    return any(posixpath.normpath(row["path"]) in found for row in table.rows)


def read(source: Source, name: str) -> Table:
    """Reads a CSV file with a header, UTF-8, a byte order mark allowed.

    Raises:
      ValueError: names the file and why it cannot be read.
    """
    try:
        text = source.read(name, _MAX_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
        rows = list(reader)
    except (Unreadable, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{source}/{name}: not a readable CSV file ({error})") from error
    return Table(source, name, tuple(reader.fieldnames or ()), rows)


def check(table: Table, split: str, found: Set[str], layout: Layout, listing: Listing) -> None:
    """Compares a split's table with the files in its folders; takes the groups from it.

    Rows of `valid` without files are counted, not refused: a smaller test set is still one, while
    a training set that lacks files has other folds than everybody else's.
    """
    rows = _by_name(table, listing)
    if _swapped(rows.keys() - found, found - rows.keys(), layout):
        what = f"{table.name} has every image in the other class's folder; swap their names"
        listing.problems.append(Problem(" and ".join(layout.names), what))
        return
    listing.missing[split] = sorted(rows.keys() - found)
    if split == "train":
        what = f"{table.name} names it, but it is not there; get it, or remove the row"
        listing.problems += [Problem(name, what) for name in listing.missing[split]]
    images = {image.filename for image in listing.images if image.split == split}
    what = f"{table.name} does not name it; add a row, or remove it"
    listing.problems += [Problem(name, what) for name in sorted(images - rows.keys())]
    labels, groups = _label_column(table, layout), layout.group_column
    if groups:
        table.column(groups, ())
    for index, image in enumerate(listing.images):
        if image.split != split or image.filename not in rows:
            continue
        row = rows[image.filename]
        if labels and row[labels] != layout.names[image.label]:
            what = f"{table.name} calls it {row[labels]!r}; move it, or correct the row"
            listing.problems.append(Problem(image.filename, what))
        if groups and row[groups]:
            listing.images[index] = dataclasses.replace(image, group=row[groups])


def _swapped(missing: Set[str], extra: Set[str], layout: Layout) -> bool:
    """Whether files without rows are those of rows without files, one class for the other."""
    real, fake = layout.names
    other = {real: fake, fake: real}
    swapped = {"/".join(other.get(part, part) for part in name.split("/")) for name in missing}
    return bool(missing) and swapped == extra


def _by_name(table: Table, listing: Listing) -> dict[str, dict[str, str]]:
    """Rows by the file that they name; more than one for a file is a problem."""
    path_column = table.column("", _PATH_COLUMNS)
    rows: dict[str, dict[str, str]] = {}
    for row in table.rows:
        name = posixpath.normpath(row[path_column])
        if name in rows:
            listing.problems.append(Problem(name, f"twice in {table.name}; remove a row"))
        rows[name] = row
    return rows


def _label_column(table: Table, layout: Layout) -> str:
    """The column that says real or fake, "" if none does: numbers mean what nobody wrote down."""
    if layout.label_column:
        return table.column(layout.label_column, ())
    if "label_str" in table.columns:
        return "label_str"
    words = {row.get("label") for row in table.rows}
    return "label" if words and words <= set(layout.names) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """An image that a table lists."""

    filename: str
    split: str
    label: int
    group: str


def rows_of_images(table: Table, layout: Layout, listing: Listing) -> Iterator[Row]:
    """The images that a table lists; adds what is wrong with rows to the listing.

    Raises:
      ValueError: no such column, or values of the label that are not the two of the layout.
    """
    path_column = table.column("", _PATH_COLUMNS)
    label_column = table.column(layout.label_column, ("label_str", "label"))
    group_column = table.column(layout.group_column, ()) if layout.group_column else ""
    _refuse_other_values(table, label_column, layout)
    seen: set[str] = set()
    for row in table.rows:
        name = posixpath.normpath(row[path_column])
        split = _SPLITS.get(row.get("split", "train"))
        if name.startswith(("/", "../")) or name == "..":
            trouble = "leads out of the table's folder; give paths relative to it"
        elif name in seen:
            trouble = f"twice in {table.name}; remove a row"
        elif split is None:
            trouble = f"split {row['split']!r} is neither train nor valid; remove the row"
        else:
            seen.add(name)
            label = layout.names.index(row[label_column])
            yield Row(name, split, label, row[group_column] if group_column else "")
            continue
        listing.problems.append(Problem(name, trouble))


def _refuse_other_values(table: Table, column: str, layout: Layout) -> None:
    counts = Counter(row[column] for row in table.rows)
    others = sorted(counts.keys() - set(layout.names))
    if others:
        real, fake = layout.names
        raise ValueError(
            f"{table.source}/{table.name}: column {column!r} has {others[:5]}, not only {real!r} "
            f'and {fake!r}; say which is which with "real" and "fake" in the config'
        )
