// Draws a Plotly figure into the page and keeps it there: what changes is worked into what is drawn, so that an answer
// to a click costs no new chart, and the zoom stays. What is chosen or hidden shows at once, on every chart that brings
// it out; the answer comes later.

const charts = new WeakMap();  // by the component's place on the page

// One copy of Plotly for all charts. It comes without a date, so a browser would fetch it anew at every visit; its
// address names its version, so what is kept is always right.
function library(address) {
  globalThis.plotlyForCharts ??= fetch(address, {cache: "force-cache"})
    .then(answer => answer.ok ? answer.text() : Promise.reject(new Error(`${address}: status ${answer.status}`)))
    .then(source => {
      const script = document.createElement("script");
      script.textContent = source;
      document.head.append(script);
      return globalThis.Plotly;
    })
    .catch(error => {
      globalThis.plotlyForCharts = undefined;  // the next chart tries again
      throw error;
    });
  return globalThis.plotlyForCharts;
}

const FULLSCREEN = {
  name: "fullscreen",
  title: "Fullscreen",
  icon: {width: 24, height: 24, path: "M3 3h7v2H5v5H3zM14 3h7v7h-2V5h-5zM3 14h2v5h5v2H3zM19 14h2v7h-7v-2h5z"},
  click: plot => document.fullscreenElement ? document.exitFullscreen() : plot.requestFullscreen(),
};

const CONFIG = {displaylogo: false, showSendToCloud: false, modeBarButtonsToAdd: [PNG, FULLSCREEN]};

// What the page's theme decides, where the figure says nothing of its own.
function themed(layout, place) {
  const style = getComputedStyle(place), of = name => style.getPropertyValue(`--st-${name}`).trim();
  return {
    ...structuredClone(layout),  // Plotly writes into what it is given
    font: {color: of("text-color"), family: of("font"), ...layout.font},
    hoverlabel: {
      bgcolor: of("background-color"),
      bordercolor: of("border-color"),
      ...layout.hoverlabel,
      font: {color: of("text-color"), ...layout.hoverlabel?.font},
    },
    modebar: {
      bgcolor: "rgba(0,0,0,0)",
      color: of("gray-text-color"),
      activecolor: of("primary-color"),
      ...layout.modebar,
    },
  };
}

// As many names under a figure as there is place for, where it says how many it would show at most.
function fitted(layout, width) {
  const {nticks, dtick, range, tickfont} = layout.xaxis ?? {}, {l = 0, r = 0} = layout.margin ?? {};
  if (!nticks || !range) return {};
  const place = Math.max(2, Math.floor((width - l - r) / (1.25 * (tickfont?.size ?? 12))));
  const all = dtick && Math.abs(range[1] - range[0]) / dtick <= place;
  return {nticks: Math.min(nticks, place), dtick: all ? dtick : null};
}

const heightOf = chart => document.fullscreenElement === chart.plot ? innerHeight : chart.height;

function start(place) {
  const plot = document.createElement("div");
  plot.className = "chart";
  plot.setAttribute("role", "figure");
  place.append(plot);
  const chart = {plot, text: "", draws: 0, drawing: 0, tell: () => {}, show: () => {}};
  plot.chart = chart;
  let width = 0;
  const sizes = new ResizeObserver(([{contentRect}]) => {
    const changed = Math.abs(contentRect.width - width) >= 1;
    width = contentRect.width;
    if (!changed || !width || !plot.data) return;
    const {nticks, dtick} = fitted(chart.figure.layout, width);
    if (nticks) globalThis.Plotly.relayout(plot, {"xaxis.nticks": nticks, "xaxis.dtick": dtick, autosize: true});
    else globalThis.Plotly.Plots.resize(plot);
  });
  const fill = () => plot.data && globalThis.Plotly.relayout(plot, {height: heightOf(chart)});
  sizes.observe(place);
  plot.addEventListener("keydown", press);
  plot.addEventListener("fullscreenchange", fill);
  chart.stop = () => {
    if (place.isConnected) return;  // a run that was overtaken by the next, not the end of the chart
    sizes.disconnect();
    globalThis.Plotly?.purge(plot);
    charts.delete(place);
  };
  charts.set(place, chart);
  return chart;
}

// The legend answers to keys as it does to clicks; Plotly's toolbar does so by itself.
function reach(plot) {
  for (const toggle of plot.querySelectorAll(".legendtoggle")) {
    toggle.setAttribute("tabindex", "0");
    toggle.setAttribute("role", "button");
    toggle.setAttribute("aria-label", `Show or hide ${toggle.closest(".traces").querySelector(".legendtext").textContent}`);
  }
}

function press(event) {
  const toggle = event.target.closest?.(".legendtoggle");
  if (!toggle || !["Enter", " "].includes(event.key)) return;
  event.preventDefault();
  for (const name of ["mousedown", "mouseup"]) toggle.dispatchEvent(new MouseEvent(name, {bubbles: true, view: window}));
}

// Tell which tasks were clicked, or drawn around: the first of each point's ``customdata``; and what the legend hides.
function listen(chart, chosen, hides) {
  const tasks = event => [...new Set(
    (event?.points ?? []).map(point => point.customdata?.[0]).filter(task => task !== undefined && task !== null)
  )];
  const {plot} = chart;
  const tell = (name, found, everywhere) => {
    chart.tell(name, found);
    if (everywhere) for (const {chart} of document.querySelectorAll(".chart")) chart.show({[name]: found});
  };
  const on = (name, listener) => {
    plot.removeAllListeners(name);  // Plotly may have taken them along when it started anew
    plot.on(name, listener);
  };
  chart.heard = plot._ev;
  if (chosen === "points") {
    on("plotly_click", event => tasks(event).length && tell("chosen", tasks(event).slice(0, 1), false));
  } else if (chosen === "areas") {
    // Drawing takes outlines away, which Plotly tells as a choice of nothing.
    on("plotly_selected", event => event && (event.points.length || !chart.drawing) && tell("chosen", tasks(event), true));
    on("plotly_deselect", () => tell("chosen", [], true));
    on("plotly_doubleclick", () => tell("chosen", [], true));
  }
  if (hides) on("plotly_restyle", ([changed]) => "visible" in changed && tell("hidden", hiddenOn(chart), true));
}

// What the legend hides: on this chart, and what is not on it.
function hiddenOn({plot, hidden}) {
  const here = plot.data.filter(trace => typeof trace.meta === "string");
  const away = hidden.filter(name => !here.some(trace => trace.meta === name));
  return [...away, ...here.filter(trace => trace.visible === "legendonly").map(trace => trace.meta)];
}

// Bring out points by the first of their ``customdata``; with none of them all look alike. Whether anything changed.
function light(data, tasks) {
  const lit = new Set(tasks);
  let changed = false;
  for (const trace of data.filter(trace => Array.isArray(trace.customdata))) {
    const rows = lit.size ? [...trace.customdata.keys()].filter(i => lit.has(trace.customdata[i][0])) : null;
    changed ||= String(trace.selectedpoints ?? null) !== String(rows) || !trace.selectedpoints !== !rows;
    trace.selectedpoints = rows;
  }
  return changed;
}

// Hide traces by their ``meta``, leaving them in the legend. Whether anything changed.
function hide({data, layout}, names) {
  let changed = false;
  for (const trace of data.filter(trace => typeof trace.meta === "string")) {
    const visible = names.includes(trace.meta) ? "legendonly" : true;
    changed ||= (trace.visible ?? true) !== visible;
    trace.visible = visible;
  }
  layout.legend = {...layout.legend, uirevision: names.join("\n")};  // what Plotly remembers of clicks is out of date
  return changed;
}

// Plotly makes class names of what tells traces apart: letters and digits alone.
const digest = text => `t${[...text].reduce((sum, c) => (Math.imul(sum, 31) + c.codePointAt(0)) >>> 0, 7).toString(16)}`;

async function draw(chart, place, text) {
  const [about, shapes, source] = text.split("\n");
  const {alt, config, chosen, lit, hidden, library: address} = JSON.parse(about);
  const {plot} = chart, look = lookOf(place);
  plot.setAttribute("aria-label", alt);
  if (!plot.data) plot.textContent = "Drawing …";
  const plotly = await library(address);
  if (chart.text !== text || !place.isConnected) return;  // overtaken
  const before = plot.data && look === chart.look ? {...chart} : {};
  const same = source === before.source, figure = same ? before.figure : JSON.parse(source);
  figure.layout.shapes = JSON.parse(shapes);
  // What is hidden by the legend is hidden by its meaning; else Plotly would hide another trace in its place.
  for (const trace of figure.data) if (typeof trace.meta === "string") trace.uid = digest(trace.meta);
  const change = now => {
    const lights = lit && now.lit && light(figure.data, now.lit);
    const hides = hidden && now.hidden && hide(figure, chart.hidden = now.hidden);
    return lights || hides;
  };
  const changed = change({lit, hidden});
  Object.assign(chart, {look, source, shapes, figure, height: figure.layout.height ?? 450});
  plot.style.minHeight = `${chart.height}px`;  // nothing below jumps when it is drawn
  const react = async () => {
    const layout = {...themed(figure.layout, place), height: heightOf(chart)};
    if (layout.xaxis?.nticks) Object.assign(layout.xaxis, fitted(layout, place.clientWidth));
    if (chosen) layout.hovermode ??= "closest";
    if (chosen === "areas") {  // the figure says what is chosen, whatever was drawn on it before
      Object.assign(layout, {clickmode: "event+select", selections: [], selectionrevision: ++chart.draws});
    }
    if (!plot.data) plot.textContent = "";
    chart.drawing += 1;
    await plotly.react(plot, figure.data, layout, {...CONFIG, ...config}).finally(() => { chart.drawing -= 1; });
    reach(plot);
    if (chart.heard !== plot._ev) listen(chart, chosen, hidden);
  };
  // What was drawn around tasks has to go, whether or not they were chosen already.
  chart.show = told => {
    if (change({lit: told.chosen, hidden: told.hidden}) || plot.layout.selections?.length) react().catch(chart.fail);
  };
  if (!same || changed || plot.layout.selections?.length) await react();
  else if (shapes !== before.shapes) await plotly.relayout(plot, {shapes: structuredClone(figure.layout.shapes)});
}

// What the page's theme looks like: another one draws the figure anew.
function lookOf(place) {
  const style = getComputedStyle(place);
  return ["text-color", "background-color", "font"].map(name => style.getPropertyValue(`--st-${name}`)).join();
}

export default function({parentElement, data, setTriggerValue}) {
  const chart = charts.get(parentElement) ?? start(parentElement);
  chart.tell = setTriggerValue;
  const text = new TextDecoder().decode(data);
  if (text === chart.text && lookOf(parentElement) === chart.look) return chart.stop;
  chart.text = text;
  chart.fail = error => {
    chart.text = "";
    globalThis.Plotly?.purge(chart.plot);
    chart.plot.textContent = `The figure could not be drawn (${error.message}). Reload the page.`;
  };
  draw(chart, parentElement, text).catch(chart.fail);
  return chart.stop;
}
