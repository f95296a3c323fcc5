"""The parts of "Methods" that hold every way of choosing an expert against the others, on the bank's own targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from pages.common.chart import draw
from pages.common.frame import SELECTION
from pages.common.pictures import pictures
from pages.common.selection import UNLEARNED, bank_study, kind_title
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, kept_methods
from t2v_core.bank.records import called
from t2v_core.embedding.record import TASK2VEC
from t2v_core.figures.methods import agreement_by_layer, by_kind, losses, networks_curve, value_histograms
from t2v_core.selection.audit import ALL, Audit, audit_table
from t2v_core.selection.comparison import ORACLE, method_table, networks_table
from t2v_core.selection.explanation import sureness
from t2v_core.selection.words import counted
from t2v_core.space.values import EDGES, value_histogram

STARTS = {
    "symmetric": "Task2Vec, pre-trained probe",
    "task2vec-random": "Task2Vec, untrained probe",
    "pseudotask": "PseudoTask, pre-trained probe",
    "pseudotask-random": "PseudoTask, untrained probe",
    "tangent": "Task Tangent Kernel, no probe",
    "chance": "chance",
}
"""Rules that differ in what their networks have learned."""

VALUES = {
    "task2vec-random": "Task2Vec, untrained probe",
    "pseudotask": "PseudoTask, soft labels",
    "pseudotask-hard": "PseudoTask, hard labels",
    "pseudotask-random": "PseudoTask, untrained probe",
}


@dataclass(frozen=True)
class Compared:
    """What the page shows.

    Attributes:
        audits: by kind of target, ``ALL`` last.
        records: of the methods, by name.
        table: of ``method_table``.
        pictures: of the tasks that have any, by id.
        own: id and name of the task each expert was trained on, by the expert's id.
        pretrained: shares of the values of the bank's own Task2Vec embeddings (see ``value_histogram``).
    """

    audits: dict[str, Audit]
    records: dict[str, MethodRecord]
    table: pd.DataFrame
    pictures: dict[str, str]
    own: dict[str, tuple[str, str]]
    pretrained: list[float]


def compared(bank: Bank) -> Compared | None:
    """All methods measured on the bank, judged; None where none was, or no target can be judged."""
    return _compared(bank, bank.location, bank.version())


@st.cache_resource(show_spinner="Judging the methods \u2026", max_entries=4)
def _compared(_bank: Bank, location: str, version: int) -> Compared | None:
    records = kept_methods(_bank)
    audits = bank_study(_bank).audits if records else {}
    if not audits:
        return None
    vectors = [e.vector for e in _bank.embeddings(TASK2VEC, chunks=False).values()]
    pretrained = value_histogram(np.stack(vectors)) if vectors else []
    names = called(_bank.tasks())
    own = {e.id: (e.task_id, names[e.task_id]) for e in _bank.experts() if e.task_id in names}
    return Compared(audits, records, method_table(audits, records), pictures(_bank), own, pretrained)


# ---- the table -----------------------------------------------------------------------------------------


def show_table(found: Compared) -> None:
    """Every method on every kind of target, with what it needs and costs (WLF Table 1)."""
    kind = st.segmented_control(
        "Targets",
        [k for k in found.audits if k != ALL] + [ALL],
        default="mixed" if "mixed" in found.audits else ALL,
        required=True,
        format_func=kind_title,
        key="methods_kind",
        bind="query-params",
    )
    draw(
        losses(found.table, kind),
        key="losses",
        file="losses",
        alt="Loss of every method, with what it needs and costs",
    )
    meta = found.audits[kind].meta
    experts = len(meta.experts)
    st.caption(
        f"Left is good; beside a name stand its processor seconds for one target with all {experts} experts. Over "
        f"{len(meta.tasks)} targets; lines: 95 % intervals over them. Where intervals overlap, do not call one method "
        "better. All this is on small photographs with small networks: the order may differ elsewhere."
    )
    st.caption(
        "**Costs grow in two ways.** What needs *every expert* passes the target's images through each of them, so its "
        "seconds grow with the number of experts. All other methods pass them once through one network, or through "
        "as many random ones, whatever the number of experts: their seconds stay nearly as they are (a part of EMD's "
        "and H-divergence's grows), and *an expert's share* falls as experts are added. **RSA** here compares experts "
        "with the probe, so that labels play no part; its authors train a network on the target."
    )
    if "model2vec" not in found.table.index:
        st.caption(f"**MODEL2VEC** is missing: {UNLEARNED}")
        st.page_link(SELECTION, label="Learn MODEL2VEC", icon=":material/school:")
    st.dataframe(
        _shown(found),
        hide_index=True,
        height=min(38 + 35 * len(found.table), 780),
        column_config={
            "method": st.column_config.TextColumn(pinned=True, width=150),
            "target": st.column_config.NumberColumn(
                "seconds a target", format="%.2f", help=f"Processor seconds for one target with all {experts} experts."
            ),
            "seconds": st.column_config.NumberColumn(
                "an expert's share",
                format="%.4f",
                help="The same for one expert: what it takes where each is needed, else a share of a fixed cost.",
            ),
            "once": st.column_config.NumberColumn(
                "once an expert", format="%.2f", help="Processor seconds for one expert, when the bank is built."
            ),
            **{
                kind_title(k): st.column_config.NumberColumn(format="%.1f", help="Loses, % above the best error.")
                for k in found.audits
            },
        },
    )
    download("Download as CSV", found.table, "methods", index=True)
    names = st.expander("What the methods do", key="methods_open", on_change="rerun")
    if names.open:
        names.markdown("\n".join(f"- **{rule}**: {title}" for rule, title in found.table["title"].items()))
        names.caption(
            "Costs are processor time on one machine. The scores of Task2Vec and domain are the bank's own, and what "
            "they cost was measured afterwards, Task2Vec's on a part of the tasks; every other cost is of the run "
            "that gave the scores. Features that several methods share are computed once and charged to each as if it "
            "ran alone. LEEP and NCE need the expert's own classifier, which the bank's experts come without: a "
            "linear head fitted on the expert's own task stands for it."
        )


def _shown(found: Compared) -> pd.DataFrame:
    """The table as people read it: means beside their intervals."""
    table = found.table.sort_values(ALL, kind="stable")
    shown = pd.DataFrame({"method": table.index, "needs": table["needs"]})
    shown[["target", "seconds", "once"]] = table[["target", "seconds", "once"]]
    for kind in sorted(found.audits, key=lambda kind: kind != ALL):  # the rows stand in the order of all targets
        shown[kind_title(kind)] = table[kind]
        shown[f"{kind_title(kind)}: 95 %"] = [
            "" if rule == ORACLE.name or pd.isna(low) else f"{low:.1f} to {high:.1f}"
            for rule, low, high in zip(table.index, table[f"{kind}_low"], table[f"{kind}_high"], strict=True)
        ]
    return shown


# ---- initialisations, networks -------------------------------------------------------------------------


def show_starts(found: Compared) -> None:
    """Pre-trained, untrained, none at all (WLF Fig. 6); many networks or many batches (WLF Fig. 7)."""
    kinds = {k: kind_title(k) for k in found.audits if k != ALL}
    table = audit_table(found.audits)
    rows = {title: table[table["rule"] == rule] for rule, title in STARTS.items() if rule in set(table["rule"])}
    st.subheader("How much depends on what the networks have learned")
    draw(by_kind(rows, kinds), key="starts", file="initialisations", alt="Loss by initialisation")
    st.caption(
        "The same two methods with a probe that has learned and with one that has not, beside the kernel, which asks "
        "many networks that have learned nothing. The untrained probe saw at most 500 images of a task, the trained "
        "one up to 2,000. Lines: 95 % intervals over targets. One seed of the untrained probe and one of the networks "
        "were measured, so the lines say nothing of what other seeds would give."
    )
    download("Download as CSV", pd.concat(rows, names=["start"]).reset_index("start"), "starts", key="starts_csv")
    record, twins = found.records.get("networks-or-batches"), found.audits.get("twin")
    if record is None or twins is None or "picks" not in record.facts:  # before 2026-12 errors were kept
        return
    curve = networks_table(twins, record)
    st.subheader("Many networks, or many batches of few")
    lines = {STARTS[r]: found.table.loc[r, "twin"] for r in ("task2vec-random", "chance") if r in found.table.index}
    draw(
        networks_curve(curve, lines),
        key="networks",
        file="networks-and-batches",
        alt="Loss by number of networks",
    )
    least = curve.loc[curve["mean"].idxmin()]
    st.caption(
        f"The kernel on the {len(record.facts['targets'])} targets that have a twin, always {record.facts['budget']} "
        "gradients a task: from one network with many batches to many networks with one each. Least is lost here by "
        f"{counted(int(least['networks']), 'network')} with {counted(int(least['batches']), 'batch', 'batches')} each; "
        "in the paper many networks with one batch each were best. A single batch is noisy, the more so the fewer the "
        "classes, which makes broad tasks look nearest; averaging batches undoes that. Other random networks would "
        "give other points on the left, where one or two of them decide."
    )
    download("Download as CSV", curve, "networks", key="networks_csv")


# ---- values --------------------------------------------------------------------------------------------


def show_values(found: Compared) -> None:
    """How the values of embeddings are spread (WLF Fig. 8)."""
    shares = {"Task2Vec, pre-trained probe": found.pretrained} if found.pretrained else {}
    shares |= {title: found.records[name].facts["histogram"] for name, title in VALUES.items() if name in found.records}
    draw(
        value_histograms(EDGES, shares),
        key="values",
        file="embedding-values",
        alt="Values of the embeddings",
    )
    st.caption(
        "Each value is divided by the mean of its embedding. A long tail on the right means that a few filters hold "
        "most of the embedding and decide its distances; a high narrow peak means that all have a say."
    )
    soft = found.records.get("pseudotask")
    if soft is not None:
        softness = soft.facts["softness"]
        st.markdown(
            f"The probe's own classifier, which stands for labels in PseudoTask, is **{sureness(softness)}** of these "
            f"targets' images: the mean entropy of its predictions is {softness:.0%} of the largest possible."
        )
    wide = pd.DataFrame({"from": 10 ** EDGES[:-1], "to": 10 ** EDGES[1:], **shares})
    download("Download as CSV", wide, "embedding-values", key="embedding-values_csv")
    robust = found.records.get("variational")
    if robust is not None and "ratio" in robust.facts:  # as above
        show_agreement(robust)


def show_agreement(record: MethodRecord) -> None:
    """The robust estimate held against the exact one (T2V section 3.1)."""
    facts = record.facts
    layers, rho, ratio = facts["layers"], facts["rho"], np.array(facts["ratio"])
    sizes = np.median(ratio, 0)
    st.subheader("The robust (variational) estimate beside the exact one")
    draw(
        agreement_by_layer(layers, rho),
        key="agreement",
        file="variational-and-exact",
        alt="Rank correlation of the variational and the exact estimate by layer",
    )
    st.caption(
        f"Do both find the same filters important? Each point is a layer: the median over {len(rho)} targets, lines "
        f"from the lowest to the highest. Over all filters the median is {np.median(facts['all']):.2f}. 1 would be the "
        f"same order, 0 none. In size the robust one is {np.median(facts['all_ratio']):.2g} times the exact one, by "
        f"layer {sizes.min():.2g} to {sizes.max():.2g} times. Both are of the head the robust one ends with. "
        "They differ because the robust one is taken under noise on the network's weights, as wide as the task "
        "tolerates. The two lie in spaces of their own and are never compared with each other elsewhere."
    )
    names, targets = [*layers, "all filters"], facts["targets"]
    table = pd.DataFrame(
        {
            "target": np.repeat(targets, len(names)),
            "layer": names * len(targets),
            "rank correlation": np.column_stack([rho, facts["all"]]).ravel(),
            "robust over exact": np.column_stack([ratio, facts["all_ratio"]]).ravel(),
        }
    )
    download("Download as CSV", table, "variational-and-exact", key="variational-and-exact_csv")
