import pytest

from t2v_core.errors import InputError
from t2v_core.task.labels import read_labels
from t2v_core.task.reading import scan
from tests.task.pictures import fill, is_one_sentence

FILES = [f"{i}.png" for i in range(4)]
PLAIN = "file,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n"


def read(text, images=FILES):
    return read_labels(text.encode(), images)


@pytest.mark.parametrize("text", [PLAIN, "\ufeff" + PLAIN, PLAIN.replace("\n", "\r\n"), PLAIN.replace("file", " File")])
def test_a_label_column_in_every_dress(text):
    (column,) = read(text).columns
    assert column.classes == ("cat", "dog")
    assert column.labels == {"0.png": "cat", "1.png": "dog", "2.png": "cat", "3.png": "dog"}


def test_quoted_unicode_names_and_other_paths_to_the_same_file():
    text = 'file,label\n"bl\u00fc, 1.png",Bl\u00fcte\n./a/2.png,x\na\\3.png,x\n'
    table = read(text, ["blu\u0308, 1.png", "a/2.png", "a/3.png"])
    assert table.columns[0].labels == {"blu\u0308, 1.png": "Bl\u00fcte", "a/2.png": "x", "a/3.png": "x"}


def test_attribute_columns_leave_out_what_is_unknown():
    table = read("file,smiling,hat\n0.png,1,0\n1.png,0,\n2.png,1,1\n3.png,0,1\n")
    smiling, hat = table.columns
    assert (smiling.attribute, smiling.classes) == ("smiling", ("not smiling", "smiling"))
    assert smiling.labels == {"0.png": "smiling", "1.png": "not smiling", "2.png": "smiling", "3.png": "not smiling"}
    assert hat.labels == {"0.png": "not hat", "2.png": "hat", "3.png": "hat"}


def test_further_columns_beside_label_are_ignored_with_a_remark():
    table = read("file,size,label\n0.png,big,cat\n1.png,small,dog\n2.png,,cat\n3.png,,dog\n")
    assert [column.classes for column in table.columns] == [("cat", "dog")]
    assert table.warnings == ("labels.csv has a column 'label', so these columns are ignored: size.",)


def test_rows_without_file_files_without_row_and_rows_without_label_are_skipped():
    table = read("file,label\n0.png,cat\n1.png,\ngone.png,cat\n2.png,dog\n")
    assert {item.name: item.reason for item in table.skipped} == {
        "gone.png": "is named in row 4 of labels.csv, but there is no such image",
        "1.png": "has no label in labels.csv",
        "3.png": "has no row in labels.csv",
    }
    assert table.columns[0].labels == {"0.png": "cat", "2.png": "dog"}


def test_a_row_repeated_word_for_word_is_harmless():
    assert read(PLAIN + "0.png,cat\n").columns == read(PLAIN).columns


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"file,label\n0.png,caf\xe9\n", "not UTF-8 text"),
        ("file,label\n0.png,cat\n".encode("utf-16"), "not UTF-8 text"),
        (b"", "is empty"),
        (b"name,label\n0.png,cat\n", "has the columns 'name', 'label'"),
        (b"file;label\n0.png;cat\n", "has the columns 'file;label'"),
        (b"file\n0.png\n", "has the columns 'file'$"),
        (b"file,label,label\n0.png,cat,dog\n", "several columns called 'label'"),
        (b"file,label\nx.png,cat\ny.png,dog\n", "names none of the images there are, such as 'x.png'"),
        (b"file,label\n", "names none of the images"),
        (b"file,label\n0.png,cat\n1.png,dog\n0.png,dog\n", "'0.png' different labels in the rows 2 and 4"),
        (b"file,hat\n0.png,1\n1.png,2\n", "row 3 of labels.csv has '2' in the column 'hat'"),
        (b"file,class\n0.png,cat\n", "row 2 of labels.csv has 'cat' in the column 'class'"),
        (b"file,label\n0.png," + b"x" * 200_000, "cannot be read as a table"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(data, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read_labels(data, FILES)
    assert is_one_sentence(caught.value)


def test_scan_of_a_flat_folder_with_labels(tmp_path):
    fill(tmp_path, FILES)
    (tmp_path / "labels.csv").write_text(PLAIN + "gone.png,dog\n")
    result = scan(tmp_path, name="pets")
    (task,) = result.tasks
    assert result.labelled and task.name == "pets" and task.classes == ("cat", "dog")
    assert [(name, task.classes[k]) for name, k in zip(task.names, task.labels, strict=True)] == [
        ("0.png", "cat"),
        ("1.png", "dog"),
        ("2.png", "cat"),
        ("3.png", "dog"),
    ]
    assert [item.name for item in result.skipped] == ["gone.png"]


def test_scan_gives_one_task_an_attribute_and_leaves_out_the_hopeless(tmp_path):
    fill(tmp_path, [f"faces/{i}.png" for i in range(6)])
    rows = ["file,smiling,bald", "0.png,1,0", "1.png,0,0", "2.png,1,0", "3.png,0,0", "4.png,,1", "5.png,1,0"]
    (tmp_path / "faces" / "labels.csv").write_text("\n".join(rows))
    result = scan(tmp_path, name="faces")
    (task,) = result.tasks
    assert task.name == "faces: smiling" and task.classes == ("not smiling", "smiling")
    assert task.names == [f"faces/{i}.png" for i in (0, 1, 2, 3, 5)] and task.labels.tolist() == [1, 0, 1, 0, 1]
    (warning,) = result.warnings
    assert "class 'bald' of 'faces: bald' has 1 image" in warning


def test_scan_fails_where_no_attribute_makes_a_task(tmp_path):
    fill(tmp_path, FILES)
    (tmp_path / "labels.csv").write_text("file,hat\n0.png,0\n1.png,0\n2.png,0\n3.png,0\n")
    with pytest.raises(InputError, match=r"class 'hat' of '.*: hat' has no images"):
        scan(tmp_path)
