"""Which images a source holds, their splits and classes, and what is wrong with its layout."""

from collections.abc import Iterator, Sequence

from etils import epath

from tfds_rvf10k.errors import DatasetError, SourceNotFound
from tfds_rvf10k.sources import tables
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout, Listing, Problem
from tfds_rvf10k.sources.tree_walk import WalkedPath

_SPLIT_FOLDERS = {"train": ("train",), "valid": ("valid", "val", "validation")}
_SPLITS = ("train", "valid", "val", "validation", "test")
_DEPTH = 3  # folders between the given one and the images' tree; Kaggle's archives have up to two


def find_source(given: str, layout: Layout, instructions: str) -> Source:
    """Finds the folder that holds `train/real` and `train/fake`, `real` and `fake`, or the table.

    Args:
      given: that folder, one up to three levels above it, a zip archive that holds it, or the
        folder of such an archive. An archive is read in place and never unpacked.
      layout: names of the class folders, or of the table.
      instructions: how to get the data, for the error.

    Returns:
      The folder.

    Raises:
      SourceNotFound: there is no such file or folder, or no such tree in it.
      DatasetError: there is more than one, or an archive is damaged or not safe to read.
    """
    given = given.rstrip("/") or "/"
    if not epath.Path(given).exists():
        raise SourceNotFound(f"{given}: no such file or directory. {instructions}")
    if not epath.Path(given).is_dir():
        tops = [Source(given, "")]
        found = _find_below(tops[0], layout)
    else:
        archives = sorted(path for path in epath.Path(given).glob("*.zip") if not path.is_dir())
        tops = [Source(given)]
        # An archive beside its own unpacked files is not opened.
        found = _find_below(tops[0], layout) or [
            source for path in archives for source in _find_below(Source(str(path), ""), layout)
        ]
    if len(found) > 1:
        names = list(map(str, found))
        raise DatasetError(
            f"{given}: {len(found)} datasets in it: {', '.join(names)}",
            "give one of them as --manual_dir",
            option="manual_dir",
            found=names,
        )
    if not found:
        raise _not_found(given, tops[0], layout, instructions)
    return found[0]


def _not_found(given: str, top: Source, layout: Layout, instructions: str) -> SourceNotFound:
    real, fake = layout.names
    wanted = layout.table or f"train/{real} and train/{fake}, nor {real} and {fake},"
    folders = top.entries("")[0]
    there = ", ".join(name + "/" for name in folders[:10]) or "no folders"
    inside = " (a folder of one split; give the one above)" if _is_split(top) else ""
    return SourceNotFound(
        f"no {wanted} in {given}{inside} (there: {there}), nor {_DEPTH} levels below, nor in a zip "
        "there",
        f'other names go into the config as "real" and "fake". {instructions}',
        option="real",
        found=[name for name in folders if name not in _SPLITS],
    )


def _find_below(top: Source, layout: Layout) -> list[Source]:
    """The trees at the first level that has one."""
    level = [top]
    for _ in range(_DEPTH + 1):
        if found := [source for source in level if _is_tree(source, layout)]:
            return found
        level = [below for source in level for below in _folders(source)]
    return []


def _folders(source: Source) -> Iterator[Source]:
    """The folders to search. The classes inside a split's folder are no dataset of their own."""
    try:
        folders, _ = source.entries("")
    except OSError:  # a folder that cannot be listed is not the tree
        return
    for name in folders:
        if name not in _SPLITS:
            yield source.subfolder(name)


def _is_tree(source: Source, layout: Layout) -> bool:
    if layout.table:
        return source.is_file(layout.table)
    if any(source.is_folder(f"train/{name}") for name in layout.names):
        return True  # a missing class is a problem of this tree, not a reason for another tree
    return not _is_split(source) and all(source.is_folder(name) for name in layout.names)


def _is_split(source: Source) -> bool:
    return str(source).rpartition("/")[2] in _SPLITS


def list_images(source: Source, layout: Layout) -> Listing:
    """Lists a source's images, sorted by filename: the order is the same on every filesystem.

    Raises:
      DatasetError: the columns or values of a table cannot be understood, or there is no table
        with a column that the layout names.
    """
    listing = Listing()
    if layout.table:
        _from_table(source, layout, listing)
    elif any(source.is_folder(f"train/{name}") for name in layout.names):
        for split, folders in _SPLIT_FOLDERS.items():
            _from_split(source, layout, listing, split, folders)
        _note_unused(source, _SPLIT_FOLDERS["train"] + _SPLIT_FOLDERS["valid"], listing)
    else:
        _require_no_column(source, layout, "the images are in no split")
        _from_classes(source, layout, listing, "train", "")
        _note_unused(source, layout.names, listing)
    listing.images.sort(key=lambda image: image.filename)
    return listing


def _note_unused(source: Source, used: Sequence[str], listing: Listing) -> None:
    """Adds a note for each folder that is not read."""
    for name in source.entries("")[0]:
        if name not in used:
            why = "no training run may see it" if name == "test" else "it is no split and no class"
            # dftk knows builds by a hash of their notes, too: another wording would build anew.
            listing.notes.append(f"{name}/ is left alone: {why}")


def _require_no_column(source: Source, layout: Layout, why: str) -> None:
    """Raises DatasetError if the layout names a column and there is no table."""
    for option in ("label_column", "group_column"):
        if value := getattr(layout, option):
            raise DatasetError(
                f"{option}={value!r}: {why} in {source}, so there is no table with such a column",
                'list the images in one, and give the config "table"',
                option="table",
            )


def _from_split(
    source: Source, layout: Layout, listing: Listing, split: str, folders: Sequence[str]
) -> None:
    """Adds the images of one split, and what is wrong with its folder and its table."""
    there = [folder for folder in folders if source.is_folder(folder)]
    if len(there) > 1:
        problem = Problem(there[1], f"{there[0]} is there too", "keep one of them")
        listing.problems.append(problem)
    if not there:
        return
    folder = there[0]
    classes, loose = source.entries(folder)
    for name in classes:
        if name not in layout.names:
            what = f"neither {layout.names[0]} nor {layout.names[1]}"
            problem = Problem(f"{folder}/{name}", what, "rename or remove the folder")
            listing.problems.append(problem)
    for name in loose:
        remedy = f"move it into {layout.names[0]} or {layout.names[1]}, or remove it"
        listing.problems.append(Problem(f"{folder}/{name}", "in no class folder", remedy))
    found = _from_classes(source, layout, listing, split, folder)
    if table := tables.find(source, f"{folder}.csv", found):
        tables.check(table, split, found, layout, listing)
    else:
        _require_no_column(source, layout, f"there is no {folder}.csv")


def _from_classes(
    source: Source, layout: Layout, listing: Listing, split: str, folder: str
) -> set[str]:
    """Adds the images of the class folders; returns the names of all files in them."""
    found: set[str] = set()
    for label, class_name in enumerate(layout.names):
        where = f"{folder}/{class_name}" if folder else class_name
        if not source.is_folder(where):
            missing = Problem(where, "no such folder", "get it, or remove the other")
            listing.problems.append(missing)
            continue
        before = len(found)
        for path in source.walk(where):
            if problem := _walk_problem(path):
                listing.problems.append(problem)
            else:
                found.add(path.name)
                listing.add(path.name, split, label)
        if len(found) == before:
            listing.problems.append(Problem(where, "an empty folder", "get its images"))
    return found


def _walk_problem(path: WalkedPath) -> Problem | None:
    if path.is_loop:
        what = "a link back to a folder that it lies in"
        return Problem(path.name, what, "remove the link")
    if path.error:
        what = f"cannot be read ({path.error.strerror})"
        return Problem(path.name, what, "make it readable, or remove it")
    return None  # a file that is not regular is found out when it is read


def _from_table(source: Source, layout: Layout, listing: Listing) -> None:
    """Adds the images that the layout's table lists."""
    table = tables.read(source, layout.table)
    for row in tables.rows_of_images(table, layout, listing):
        listing.add(row.filename, row.split, row.label, row.group)
