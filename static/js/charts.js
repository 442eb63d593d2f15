// Time charts: uPlot over <figure data-chart="data as JSON">.
// Colours come from the CSS tokens, so a theme change redraws with the new ones.

const SERIES = ["--accent", "--series-2", "--series-3", "--series-4"];
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const charts = new Map();
let library;

function loadLibrary() {
  if (library) return library;
  const meta = document.querySelector("meta[name=cg-uplot]");
  library = new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = meta.dataset.css;
    const script = document.createElement("script");
    script.src = meta.content;
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("The chart library did not load"));
    document.head.append(link, script);
  });
  return library;
}

function color(token) {
  // Custom properties keep light-dark() unresolved: let a property resolve it.
  const probe = document.createElement("i");
  probe.style.color = `var(${token})`;
  probe.hidden = true;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function compact(value) {
  if (value === null || value === undefined) return "\u2013";
  const size = Math.abs(value);
  const scaled = (divisor, unit) =>
    `${(value / divisor).toFixed(size / divisor >= 100 ? 0 : 1).replace(/\.0$/, "")}${unit}`;
  if (size >= 1e9) return scaled(1e9, "bn");
  if (size >= 1e6) return scaled(1e6, "m");
  if (size >= 1e4) return scaled(1e3, "k");
  const text = Number.isInteger(value) ? String(value) : value.toFixed(size < 10 ? 2 : 1);
  return text.replace("-", "\u2212");
}

function options(data, width, height, figure) {
  const muted = color("--muted");
  const grid = { stroke: color("--grid"), width: 1 };
  const ticks = { ...grid, size: 4 };
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: muted, grid, ticks, font };
  const lines = data.series.map((line, index) => {
    const stroke = color(line.token || SERIES[index % SERIES.length]);
    return {
      label: line.label,
      stroke,
      width: 1.6,
      dash: DASHES[index % DASHES.length],
      points: { show: false, filter: () => alone(line.values) },
      fill: data.series.length === 1 ? fade(stroke) : undefined,
    };
  });
  return {
    width,
    height,
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    cursor: { points: { size: 7 }, drag: { x: true, y: false } },
    legend: { show: false },
    hooks: { setCursor: [(plot) => readOut(plot, data, figure)] },
    scales: { y: { range: (_, low, high) => range(low, high, data) } },
    axes: [
      { ...axis, space: 64, values: timeLabels },
      { ...axis, size: 46, incrs: steps(data), values: (_, values) => values.map(compact) },
    ],
    series: [{}, ...lines],
  };
}

// The figures under the pointer stand in the legend, in the page's own type.
function readOut(plot, data, figure) {
  const { idx } = plot.cursor;
  const isOn = idx !== null && idx !== undefined;
  figure.querySelectorAll("[data-chart-value]").forEach((node, index) => {
    node.textContent = isOn ? compact(data.series[index].values[idx]) : "";
  });
  figure.querySelector("[data-chart-time]").textContent = isOn ? stamp(data.x[idx]) : "";
}

function range(low, high, data) {
  if (low === null || high === null) return [0, 1];
  const floor = data.from_zero === false ? low : Math.min(0, low);
  const top = high === floor ? floor + 1 : high + (high - floor) * 0.08;
  return [floor, top];
}

// Of what is counted there is no half.
function steps(data) {
  const isCount = data.series.every((line) =>
    line.values.every((value) => value === null || Number.isInteger(value)));
  const powers = Array.from({ length: 12 }, (_, power) => 10 ** power);
  return isCount ? powers.flatMap((power) => [power, 2 * power, 5 * power]) : undefined;
}

// A value without neighbours makes no line: it is drawn as a point.
function alone(values) {
  const isGap = (value) => value === null || value === undefined;
  return [...values.keys()].filter((at) =>
    !isGap(values[at]) && isGap(values[at - 1]) && isGap(values[at + 1]));
}

function fade(value) {
  return value.replace(/^rgb\((.*)\)$/, "rgba($1, 0.1)");
}

function timeLabels(_, seconds, __, ___, step) {
  const day = (iso) => `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1]}`;
  return seconds.map((at, index) => {
    const iso = new Date(at * 1000).toISOString();
    if (step >= 86400 * 28) return `${MONTHS[Number(iso.slice(5, 7)) - 1]} ${iso.slice(0, 4)}`;
    if (step >= 86400) return day(iso);
    const clock = iso.slice(11, 16);
    const isNewDay = index === 0 || clock === "00:00";
    return isNewDay ? `${clock}\n${day(iso)}` : clock;
  });
}

function stamp(at) {
  return `${new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

async function draw(figure) {
  const box = figure.querySelector("[data-chart-canvas]");
  if (!box) return;
  const data = JSON.parse(figure.dataset.chart);
  const uPlot = await loadLibrary();
  if (!figure.isConnected || !box.clientWidth) return;
  charts.get(figure)?.destroy();
  const size = options(data, box.clientWidth, box.clientHeight, figure);
  const columns = [data.x, ...data.series.map((line) => line.values)];
  charts.set(figure, new uPlot(size, columns, box));
}

const resizing = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const figure = target.closest("[data-chart]");
    const chart = charts.get(figure);
    if (!chart) draw(figure);
    else if (Math.abs(chart.width - target.clientWidth) > 1 && target.clientWidth) {
      chart.setSize({ width: target.clientWidth, height: chart.height });
    }
  }
});

function start(scope) {
  for (const box of scope.querySelectorAll("[data-chart-canvas]")) resizing.observe(box);
  for (const figure of charts.keys()) {
    if (figure.isConnected) continue;
    charts.get(figure).destroy();
    charts.delete(figure);
  }
}

function redraw() {
  for (const figure of [...charts.keys()]) draw(figure);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-chart-table]");
  if (!button) return;
  const table = document.getElementById(button.getAttribute("aria-controls"));
  table.hidden = !table.hidden;
  button.setAttribute("aria-expanded", String(!table.hidden));
});

document.addEventListener("htmx:load", (event) => start(event.target));
document.addEventListener("cg:theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
start(document);
