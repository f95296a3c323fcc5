"""``labels.csv``: one class an image, or one 0/1 column an attribute."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass

from t2v_core.errors import InputError
from t2v_core.task.layout import LABEL_FILE, display
from t2v_core.task.record import Skipped


@dataclass(frozen=True)
class LabelColumn:
    """One labelling of the images.

    Attributes:
        attribute: the column's name, empty for the column ``label``.
        classes: class names, sorted; of an attribute ``("not smiling", "smiling")``.
        labels: class name of each image whose class is known.
    """

    attribute: str
    classes: tuple[str, ...]
    labels: dict[str, str]


@dataclass(frozen=True)
class LabelTable:
    """What a ``labels.csv`` says: its labellings, the rows left out, and remarks as sentences."""

    columns: tuple[LabelColumn, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]


def read_labels(data: bytes, images: Collection[str]) -> LabelTable:
    """Read a ``labels.csv``.

    Args:
        data: the file's content, UTF-8 with or without a byte order mark.
        images: paths of the images there are, relative to the table.

    Raises:
        InputError: it is not such a table, contradicts itself, or names none of the images.
    """
    header, rows = _read_rows(data)
    keys = [column.casefold() for column in header]
    repeated = sorted({column for column in header if column and keys.count(column.casefold()) > 1})
    if repeated:
        raise InputError(f"{LABEL_FILE} has several columns called '{repeated[0]}'; keep one of them")
    named = [(position, column) for position, column in enumerate(header) if column and keys[position] != "file"]
    if "file" not in keys or not named:
        raise InputError(
            f"{LABEL_FILE} needs a column 'file' and a column 'label' or columns of 0 and 1, separated by commas, "
            f"but has the columns {', '.join(map(repr, header))}"
        )
    wanted = [(position, column) for position, column in named if keys[position] == "label"] or named
    ignored = [column for position, column in named if (position, column) not in wanted]
    warnings = []
    if ignored:
        warnings.append(f"{LABEL_FILE} has a column 'label', so these columns are ignored: {', '.join(ignored)}.")
    is_label = keys[wanted[0][0]] == "label"
    values, skipped = _values_by_image(rows, keys.index("file"), wanted, images, is_label)
    columns = []
    for place, (_, column) in enumerate(wanted):
        texts = {file: row[place] for file, row in values.items() if row[place]}
        if is_label:
            columns.append(LabelColumn("", tuple(sorted(set(texts.values()))), texts))
        else:
            classes = (f"not {column}", column)
            columns.append(LabelColumn(column, classes, {file: classes[int(text)] for file, text in texts.items()}))
    skipped += [Skipped(file, f"has no label in {LABEL_FILE}") for file, row in values.items() if not any(row)]
    skipped += [Skipped(file, f"has no row in {LABEL_FILE}") for file in sorted(images) if file not in values]
    return LabelTable(tuple(columns), tuple(skipped), tuple(warnings))


def _read_rows(data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows with their numbers as a spreadsheet counts them."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        rows = [(number, [cell.strip() for cell in row]) for number, row in enumerate(reader, 1)]
    except UnicodeDecodeError:
        raise InputError(f"{LABEL_FILE} is not UTF-8 text; save it as 'CSV UTF-8'") from None
    except csv.Error as error:
        raise InputError(f"{LABEL_FILE} cannot be read as a table ({error}); save it again as 'CSV UTF-8'") from error
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        raise InputError(f"{LABEL_FILE} is empty; give it the columns 'file' and 'label'")
    return [display(cell) for cell in rows[0][1]], rows[1:]


def _values_by_image(
    rows: list[tuple[int, list[str]]],
    file_column: int,
    wanted: list[tuple[int, str]],
    images: Collection[str],
    is_label: bool,
) -> tuple[dict[str, list[str]], list[Skipped]]:
    """The wanted cells of each image that exists, and the rows left out."""
    stored = {display(image): image for image in images}
    values: dict[str, list[str]] = {}
    first_row: dict[str, int] = {}
    skipped = []
    for number, row in rows:
        cells = dict(enumerate(row))
        written = cells.get(file_column, "")
        file = stored.get(display(written.replace("\\", "/").removeprefix("./")))
        texts = [display(cells.get(position, "")) for position, _ in wanted]
        for text, (_, column) in zip(texts, wanted, strict=True):
            if not is_label and text not in ("", "0", "1"):
                raise InputError(
                    f"row {number} of {LABEL_FILE} has '{text}' in the column '{column}'; write 0 or 1, leave it "
                    "blank where unknown, or call the column 'label' if it names classes"
                )
        if file is None:
            skipped.append(Skipped(written, f"is named in row {number} of {LABEL_FILE}, but there is no such image"))
        elif values.setdefault(file, texts) != texts:
            raise InputError(
                f"{LABEL_FILE} gives '{written}' different labels in the rows {first_row[file]} and {number}; "
                "keep one of them"
            )
        else:
            first_row.setdefault(file, number)
    if not values:
        example = f", such as '{skipped[0].name}'" if skipped else ""
        raise InputError(
            f"{LABEL_FILE} names none of the images there are{example}; write each file's path as seen from "
            f"{LABEL_FILE}"
        )
    return values, skipped
