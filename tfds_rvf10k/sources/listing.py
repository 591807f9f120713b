"""Which images a source holds, of which split and class, and what is wrong with its layout."""

from collections.abc import Iterator, Sequence

from etils import epath

from tfds_rvf10k.sources import tables
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout, Listing, Problem

_SPLIT_FOLDERS = {"train": ("train",), "valid": ("valid", "val", "validation")}
_SPLITS = ("train", "valid", "val", "validation", "test")
_DEPTH = 3  # folders between what the user names and the tree; Kaggle's archives have up to two


def find_source(given: str, layout: Layout, instructions: str) -> Source:
    """Returns the folder that holds `train/real` and `train/fake`, `real` and `fake`, or the table.

    Args:
      given: that folder, one up to three levels above, a zip archive with it, or its folder; an
        archive is read in place and never unpacked.
      layout: names of the class folders, or of the table.
      instructions: how to get the data, for the error.

    Raises:
      FileNotFoundError: no such folder and no such archive.
      ValueError: more than one, or an archive that is damaged or not safe to read.
    """
    given = given.rstrip("/") or "/"
    if not epath.Path(given).exists():
        raise FileNotFoundError(f"{given}: no such file or directory. {instructions}")
    if not epath.Path(given).is_dir():
        tops = [Source(given, "")]
        found = _find_below(tops[0], layout)
    else:
        archives = sorted(path for path in epath.Path(given).glob("*.zip") if not path.is_dir())
        tops = [Source(given)]
        # An archive beside what it was unpacked to is not asked.
        found = _find_below(tops[0], layout) or [
            source for path in archives for source in _find_below(Source(str(path), ""), layout)
        ]
    if len(found) > 1:
        raise ValueError(
            f"{given}: {len(found)} datasets in it: {', '.join(map(str, found))}; give one of them "
            "as --manual_dir"
        )
    if found:
        return found[0]
    real, fake = layout.names
    wanted = layout.table or f"train/{real} and train/{fake}, nor {real} and {fake},"
    there = ", ".join(name + "/" for name in tops[0].entries("")[0][:10]) or "no folders"
    inside = " (a folder of one split; give the one above)" if _is_split(tops[0]) else ""
    raise FileNotFoundError(
        f"no {wanted} in {given}{inside} (there: {there}), nor {_DEPTH} levels below, nor in a zip "
        f'there; other names go into the config as "real" and "fake". {instructions}'
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
    """Folders to look into: not those of splits, whose classes are not a dataset of their own."""
    try:
        folders, _ = source.entries("")
    except OSError:  # not ours to look into, and so not the tree
        return
    for name in folders:
        if name not in _SPLITS:
            yield source.below(name)


def _is_tree(source: Source, layout: Layout) -> bool:
    if layout.table:
        return source.is_file(layout.table)
    if any(source.is_folder(f"train/{name}") for name in layout.names):
        return True  # what it lacks is a problem of this tree, not another tree's
    return not _is_split(source) and all(source.is_folder(name) for name in layout.names)


def _is_split(source: Source) -> bool:
    return str(source).rpartition("/")[2] in _SPLITS


def list_images(source: Source, layout: Layout) -> Listing:
    """Lists a source's images sorted by filename, so that no filesystem's order shows.

    Raises:
      ValueError: a table whose columns or values cannot be understood, or one that the layout
        needs and that is not there.
    """
    listing = Listing()
    if layout.table:
        _from_table(source, layout, listing)
    elif any(source.is_folder(f"train/{name}") for name in layout.names):
        for split, folders in _SPLIT_FOLDERS.items():
            _from_split(source, layout, listing, split, folders)
        _note_others(source, _SPLIT_FOLDERS["train"] + _SPLIT_FOLDERS["valid"], listing)
    else:
        _require_no_column(source, layout, "the images are in no split")
        _from_classes(source, layout, listing, "train", "")
        _note_others(source, layout.names, listing)
    listing.images.sort(key=lambda image: image.filename)
    return listing


def _note_others(source: Source, used: Sequence[str], listing: Listing) -> None:
    for name in source.entries("")[0]:
        if name not in used:
            why = "no training run may see it" if name == "test" else "it is no split and no class"
            listing.notes.append(f"{name}/ is left alone: {why}")


def _require_no_column(source: Source, layout: Layout, why: str) -> None:
    """Raises ValueError if a column is asked for where there is no table to have it."""
    for option in ("label_column", "group_column"):
        if value := getattr(layout, option):
            raise ValueError(
                f"{option}={value!r}: {why} in {source}, so there is no table with such a column; "
                'list the images in one, and give the config "table"'
            )


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
    if table := tables.find(source, f"{folder}.csv", found):
        tables.check(table, split, found, layout, listing)
    else:
        _require_no_column(source, layout, f"there is no {folder}.csv")


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
