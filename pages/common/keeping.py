"""Keeping an upload as a task of the bank, with pictures or without."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.common.frame import plain
from pages.common.pictures import WIDE
from t2v_core.bank.bank import Bank
from t2v_core.bank.thumbnails import forget_thumbnails, keep_thumbnails, thumbnails
from t2v_core.bank.transfer import copy_tasks

SEEN = "Others who use this bank will see them."


def keep(bank: Bank, task_id: str, out: Path) -> None:
    """Let a person keep the task of a result, and decide on its pictures; also when it is kept already.

    Args:
        bank: the bank of all.
        task_id: of the task.
        out: what the job left, a small bank with the task among it.
    """
    own = Bank(out / "task") if (out / "task").is_dir() else None
    strip = thumbnails(own, [task_id]).get(task_id) if own else None
    if any(t.id == task_id for t in bank.tasks()):
        st.success("The task is kept in the bank.")
        _pictures_of_kept(bank, task_id, strip)
        trained = any(e.task_id == task_id for e in bank.experts())  # such a task stays
        if not trained and own and st.button("Take it out of the bank again", icon=":material/undo:"):
            bank.delete_task(task_id)
            st.rerun()
        return
    if own is None:
        return
    above = st.container()
    name = next(t.name for t in own.tasks() if t.id == task_id)
    if any(t.name == name for t in bank.tasks()):
        st.caption(
            f"The bank has a task called “{plain(name)}” already; where both are listed, each has its id after its "
            "name. To call yours otherwise, start again with “New images”."
        )
    pictures = False
    if strip:
        pictures = st.checkbox("with six small pictures", True, key="keep_pictures", help=SEEN)
        if pictures:
            st.image(strip, width=WIDE)
            st.caption(SEEN)
    what = "Its vectors and labels' names; of its images none but the six below, while they are ticked."
    if above.button("Keep this task in the bank", help=what if strip else "Its vectors and labels' names; no images."):
        copy_tasks(own, bank, pictures=pictures)
        st.rerun()


def _pictures_of_kept(bank: Bank, task_id: str, strip: bytes | None) -> None:
    shown = thumbnails(bank, [task_id]).get(task_id)
    if shown:
        st.image(shown, width=WIDE)
        if st.button("Remove its pictures", icon=":material/hide_image:"):
            forget_thumbnails(bank, task_id)
            st.rerun()
    elif strip and st.button("Add six small pictures", icon=":material/image:", help=SEEN):
        keep_thumbnails(bank, {task_id: strip})
        st.rerun()
