"""A card with a task's pictures beside the pointer, on charts whose points carry the task's id first.

Plotly's own label can hold no picture. So a component without a frame listens to the charts of the page: it meets
them when the pointer enters one, and again after a chart was replaced, which drops its listeners.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from pages.common.pictures import MOST_BYTES, pictures, within
from t2v_core.bank.bank import Bank

CSS = """
.card {
  position: fixed; inset: auto; margin: 0; padding: 4px; display: none; pointer-events: none; z-index: 1000000;
  background: var(--st-background-color, #fff); border: 1px solid var(--st-border-color, #8888);
  border-radius: 6px; box-shadow: 0 2px 10px #0005; overflow: hidden;
}
.card.shown {display: block; visibility: hidden;}
.card.placed {visibility: visible;}
.card img {display: block; height: 48px; max-width: 90vw;}
"""

JS = """
const known = new WeakMap();  // by the component's place on the page: what is drawn now

function start(place) {
  const card = document.createElement("div"), image = document.createElement("img");
  card.className = "card";
  card.dataset.testid = "hover-card";
  image.alt = "Six images of the task";
  card.append(image);
  place.append(card);
  if (card.showPopover) {  // above everything, whatever the page has laid out
    card.popover = "manual";
  }
  const state = {pictures: {}, charts: [], heard: new Map()};

  const hide = () => {
    card.classList.remove("shown", "placed");
    if (card.popover && card.matches(":popover-open")) card.hidePopover();
  };
  const show = (chart, event) => {
    const id = event.points?.[0]?.customdata?.[0];
    const picture = typeof id === "string" && Object.hasOwn(state.pictures, id) ? state.pictures[id] : "";
    if (!picture.startsWith("data:image/webp;base64,")) return hide();
    image.src = picture;
    card.dataset.task = id;
    card.classList.add("shown");
    if (card.popover && !card.matches(":popover-open")) card.showPopover();
    const pointer = event.event ?? {clientX: 0, clientY: 0};
    requestAnimationFrame(() => {  // Plotly draws its label meanwhile; the card goes below it, or above
      if (!card.classList.contains("shown")) return;
      const label = chart.querySelector(".hoverlayer .hovertext")?.getBoundingClientRect();
      const from = label?.width ? label : {left: pointer.clientX + 14, top: pointer.clientY, bottom: pointer.clientY};
      const size = card.getBoundingClientRect();
      const below = from.bottom + 6;
      const top = below + size.height <= innerHeight ? below : from.top - 6 - size.height;
      card.style.left = `${Math.max(4, Math.min(from.left, innerWidth - size.width - 4))}px`;
      card.style.top = `${Math.max(4, top)}px`;
      card.classList.add("placed");  // not seen before, in the corner or where it was last
    });
  };
  const meet = event => {
    const chart = event.target instanceof Element && event.target.closest(".js-plotly-plot");
    if (!chart || !chart.on || state.heard.get(chart) === chart._ev) return;
    if (!state.charts.some(key => chart.closest(`.st-key-${CSS.escape(key)}`))) return;
    const heard = [["plotly_hover", e => show(chart, e)], ["plotly_unhover", hide], ["plotly_relayouting", hide]];
    heard.forEach(([name, listener]) => chart.on(name, listener));
    chart.addEventListener("mouseleave", hide);
    state.heard.set(chart, chart._ev);
    state.off = [...(state.off ?? []), () => {
      chart.removeEventListener("mouseleave", hide);
      if (chart.removeListener) heard.forEach(([name, listener]) => chart.removeListener(name, listener));
    }];
    for (const old of state.heard.keys()) if (!old.isConnected) state.heard.delete(old);
  };
  document.addEventListener("pointerover", meet, true);
  document.addEventListener("pointermove", meet, true);
  state.stop = () => {
    document.removeEventListener("pointerover", meet, true);
    document.removeEventListener("pointermove", meet, true);
    (state.off ?? []).forEach(off => off());
    hide();
    card.remove();
    known.delete(place);
  };
  known.set(place, state);
  return state;
}

export default function({parentElement, data}) {
  const state = known.get(parentElement) ?? start(parentElement);
  state.pictures = data.pictures;
  state.charts = data.charts;
  return state.stop;
}
"""

_mount = st.components.v2.component("task_pictures_on_hover", css=CSS, js=JS)


def hover_cards(bank: Bank, charts: Sequence[str], first: Iterable[str] = ()) -> None:
    """Let charts show the pictures of the task under the pointer; nothing is added where the bank has none.

    Args:
        bank: the bank.
        charts: keys of Plotly charts whose ``customdata[0]`` is the task's id.
        first: tasks whose pictures go along where those of all are too many.
    """
    found = pictures(bank)
    always = within(found, MOST_BYTES)  # the same at every answer, so they are sent once
    also = within(found, MOST_BYTES, [task for task in first if task not in always])
    for name, some in {"cards": always, "more_cards": also}.items():
        if some:
            _mount(key=f"{name}_{charts[0]}", data={"pictures": some, "charts": list(charts)}, height=1)
