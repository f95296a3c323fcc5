"""Taking in what the browser hands over: as one zip that nothing is refused for, or one sentence and nothing left."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pages.common.intake import stage_upload
from t2v_core.errors import InputError
from t2v_core.task.archives import check_archive


@dataclass
class Given:
    """A file as the browser's uploader hands it over."""

    name: str
    content: bytes = b"x"
    size: int = 1

    def getbuffer(self) -> bytes:
        return self.content


def test_a_folder_is_packed_whatever_its_files_are_called(bank):
    names = ["f/a/1.png", "f/we\\ird.png", "f/we_ird.png", "../../f/up.png", "/f/C:x.png"]
    path, name, shown = stage_upload(bank, [Given(name) for name in names])
    assert (name, shown) == ("my images", "my images")
    packed = [entry.filename for entry in check_archive(path)]
    assert len(packed) == len(set(packed)) == len(names)
    assert packed[:2] == ["f/a/1.png", "f/we_ird.png"]


def test_a_folder_that_is_too_large_or_finds_no_room_is_one_sentence_and_leaves_nothing(bank, monkeypatch):
    files = [Given("flowers/1.png"), Given("flowers/2.png", size=2 << 30)]
    with pytest.raises(InputError, match=r"'flowers' holds 2\.00 GiB, more than the 1\.00 GiB that can be uploaded;"):
        stage_upload(bank, files)

    def full(*_):
        raise OSError(28, "No space left on device")

    files[1].size = 1
    monkeypatch.setattr(files[1], "getbuffer", full)
    with pytest.raises(InputError, match="'flowers' cannot be kept on this server: No space left on device"):
        stage_upload(bank, files)
    assert not list((bank.files / "staging").iterdir())
