// Beside Plotly's own button, which saves the picture as SVG: what slides and mails take. It stands on the background
// of the page, or on white: its text has the colour of the page, and would not be seen on every slide.
const PNG = {
  name: "png",
  title: "Download picture as PNG",
  icon: {width: 24, height: 24, path: "M3 3h18v18H3zM5 5v11l4-5 3 4 3-4 4 5V5zM8 6.5a1.8 1.8 0 1 1 0 3.6a1.8 1.8 0 1 1 0-3.6z"},
  click: plot => globalThis.Plotly.downloadImage({
    data: structuredClone(plot.data),
    layout: {
      ...plot.layout,
      paper_bgcolor: getComputedStyle(plot).getPropertyValue("--st-background-color").trim() || getComputedStyle(document.body).backgroundColor,
    },
  }, {
    format: "png",
    filename: plot._context.toImageButtonOptions.filename,
    width: plot.clientWidth,
    height: plot.clientHeight,
    scale: 2,
  }),
};
