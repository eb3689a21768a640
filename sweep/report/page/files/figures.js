// Figures: each panel of the outline as traces, layout and rows of a table.

const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]; // Okabe and Ito, 2008
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const MOST_LINES = 6, MOST_CELLS = 160, FEWEST_CONTOURED = 8, MOST_POWERS = 8, MOST_NAMED = 6, NARROW = 45;
// Four curves; the ends of a circle of Plotly's would be taken as numbers of an axis that is logarithmic.
const CIRCLE = "M-6,0C-6,-3.3 -3.3,-6 0,-6C3.3,-6 6,-3.3 6,0C6,3.3 3.3,6 0,6C-3.3,6 -6,3.3 -6,0Z";

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function axis(about, letters, more = {}) {
  const values = { gridcolor: ink("line"), linecolor: ink("faint"), zerolinecolor: ink("line"), automargin: true };
  const type = about.log ? "log" : "linear";
  const step = Math.ceil((about.decades ?? 1) / MOST_POWERS), minor = { ticks: "outside", ticklen: 3, tickcolor: ink("faint") };
  const ticks = about.log ? { dtick: Math.max(1, step), exponentformat: "power", ...(step > 1 ? {} : { minor }) } : {};
  return { ...values, type, ...ticks, title: { text: inert(capital(label(about)), letters), standoff: 8, font: { size: 13 } }, ...more };
}

function layout(more) {
  return {
    font: { family: "system-ui, sans-serif", size: 13, color: ink("ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", dragmode: "zoom",
    margin: { l: 64, r: 14, t: 10, b: 50 }, height: 400, showlegend: false,
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
    hoverlabel: { font: { family: "system-ui, sans-serif" } }, ...more,
  };
}

function spread(length, most) {
  const count = Math.min(length, most);
  return [...new Set(Array.from({ length: count }, (_, i) => Math.round((i * (length - 1)) / Math.max(1, count - 1))))];
}

function short(value) {
  return typeof value === "number" ? number(value) : value;
}

function gap(value) {
  return Number.isFinite(value) ? value : null;
}

function nearest(values, value) {
  return values.reduce((best, v, i) => (Math.abs(v - value) < Math.abs(values[best] - value) ? i : best), 0);
}

function holes(values, about) {
  const infinite = values.filter((v) => v === Infinity).length, undefined_ = values.filter(Number.isNaN).length;
  const parts = [];
  if (infinite) parts.push(`${infinite.toLocaleString("en-US")} of ${values.length.toLocaleString("en-US")} ${about.words ? about.words[0] : "infinite"}`);
  if (undefined_) parts.push(`${undefined_.toLocaleString("en-US")} of ${values.length.toLocaleString("en-US")} without a number`);
  return parts.length ? `Left out: ${parts.join(", ")}.` : "";
}

// What remains at its slider while a figure varies others.
function elsewhere(model, dims, varied) {
  const rest = dims.filter((dim) => !varied.includes(dim) && model.dims[dim].values.length > 1);
  return rest.length ? `At ${rest.map((dim) => `${dim} = ${quantity(model.dims[dim].values[model.at[dim]], model.dims[dim])}`).join(", ")}.` : "";
}

function lines(panel, model, pick, letters) {
  const names = panel.series ?? [panel.variable], variable = model.variables[names[0]];
  const axes = variable.dims.filter((d) => model.dims[d].values.length > 1 && d !== panel.fan);
  const x = pick("x", "Along", axes.filter((d) => typeof model.dims[d].values[0] === "number"), panel.x);
  const others = axes.filter((d) => d !== x);
  const by = panel.series || panel.fan || !others.length ? "" : pick("lines", "One line for each", [...others, ""], panel.lines ?? "");
  // What moves along the axis is the mark alone: the same arrays are not drawn anew.
  const key = JSON.stringify([names, x, by, ink("ink"), variable.dims.filter((d) => d !== x).map((d) => model.at[d])]);
  if (panel.kept?.key !== key || panel.kept.values !== variable.values) panel.kept = { key, values: variable.values, ...curves(panel, model, x, by) };
  const { traces, columns, rows, gaps, here } = panel.kept;
  const along = model.dims[x].values, title = panel.label ?? variable.label, value = valueAt(variable, model.at), shapes = [];
  const xanchor = along[model.at[x]];
  if (model.choice.dims.includes(x)) shapes.push({ type: "line", x0: xanchor, x1: xanchor, yref: "paper", y0: 0, y1: 1, line: { color: ink("faint"), width: 1, dash: "dot" } });
  if (here && Number.isFinite(value)) shapes.push({ type: "path", path: CIRCLE, xsizemode: "pixel", ysizemode: "pixel", xanchor, yanchor: value, fillcolor: ink("ink"), line: { color: ink("page"), width: 2 } });
  return {
    title: `${title} along ${x}`, traces,
    layout: layout({ showlegend: traces.length > 1, xaxis: axis(model.dims[x], letters), yaxis: axis({ ...variable, label: title }, 38), shapes }),
    head: [label(model.dims[x]), ...columns.map(([name]) => name)], rows,
    note: [by ? `One line for each ${by}${model.dims[by].unit ? `, in ${model.dims[by].unit}` : ""}.` : "", elsewhere(model, variable.dims, [x, by, panel.fan]), gaps],
    moved: (point) => ({ [x]: nearest(along, point.x) }),
  };
}

function curves(panel, model, x, by) {
  const names = panel.series ?? [panel.variable], variable = model.variables[names[0]];
  const along = model.dims[x].values, traces = [], columns = [];
  const curve = (v, at) => along.map((_, i) => valueAt(v, { ...at, [x]: i }));
  const add = (name, values, style) => {
    columns.push([name, values]);
    traces.push({ x: along, y: values.map(gap), name: inert(name), mode: along.length > 12 ? "lines" : "lines+markers", hovertemplate: "%{x}: %{y:.4g}", ...style });
  };
  if (panel.fan) {
    const levels = model.dims[panel.fan].values;
    const level = (i) => curve(variable, { ...model.at, [panel.fan]: i });
    for (let i = 0; i < levels.length; i++) {
      const j = levels.length - 1 - i, name = `${number(100 * levels[i])} %`;
      const style = i === j ? { line: { color: ink("ink"), width: 2 } } : { line: { width: 0.5, color: ink("band") }, showlegend: i > j };
      if (i > j) Object.assign(style, { name: `${number(100 * levels[j])} to ${number(100 * levels[i])} %` });
      columns.push([name, level(i)]);
      if (i <= j) continue;
      const shared = { x: along, mode: "lines", line: { width: 0 }, hovertemplate: "%{x}: %{y:.4g}" };
      traces.unshift({ ...shared, y: level(j).map(gap), showlegend: false, name }, { ...shared, y: level(i).map(gap), fill: "tonexty", fillcolor: ink("band"), name: style.name });
    }
    if (levels.length % 2) {
      const [name, values] = columns[(levels.length - 1) / 2];
      traces.push({ x: along, y: values.map(gap), name, mode: "lines", line: { color: ink("ink"), width: 2 }, hovertemplate: "%{x}: %{y:.4g}" });
    }
  } else if (panel.series) {
    names.forEach((name, i) => add(name, curve(model.variables[name], model.at), { line: { color: COLOURS[i], dash: DASHES[i] } }));
  } else if (by) {
    const drawn = typeof model.dims[by].values[0] === "number" ? null : model.dims[by].values.map((_, i) => i).filter((i) => curve(variable, { ...model.at, [by]: i }).some((v) => v !== 0));
    for (const [k, i] of (drawn ?? spread(model.dims[by].values.length, MOST_LINES)).slice(0, MOST_LINES).entries()) {
      const at = { ...model.at, [by]: i }, colour = COLOURS[k];
      if (panel.low) {
        const ends = [panel.low, panel.high].map((name) => curve(model.variables[name], at).map(gap));
        traces.push({ x: [...along, ...along.toReversed()], y: [...ends[0], ...ends[1].toReversed()], fill: "toself", fillcolor: `${colour}40`, line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false });
      }
      add(short(model.dims[by].values[i]), curve(variable, at), { line: { color: colour, dash: DASHES[k] } });
    }
  }
  const here = !panel.fan && !panel.series && (!by || typeof model.dims[by].values[0] === "number");
  if (here) add(by ? `${short(model.dims[by].values[model.at[by]])}, chosen` : variable.label, curve(variable, model.at), { line: { color: ink("ink"), width: 3 }, showlegend: Boolean(by) });
  const rows = along.map((value, i) => [value, ...columns.map(([, values]) => values[i])]);
  return { traces, columns, rows, gaps: holes(columns.flatMap(([, values]) => values), variable), here };
}

function map(panel, model, pick, letters) {
  const variable = model.variables[panel.variable];
  const axes = variable.dims.filter((d) => model.dims[d].values.length > 1 && typeof model.dims[d].values[0] === "number");
  const x = pick("x", "Across", axes, panel.x);
  const y = pick("y", "Up", axes.filter((d) => d !== x), panel.y === x ? panel.x : panel.y);
  // What moves along the axes is the circle alone: the same arrays are not drawn anew.
  const key = JSON.stringify([panel.variable, x, y, letters, variable.dims.filter((d) => d !== x && d !== y).map((d) => model.at[d])]);
  if (panel.kept?.key !== key || panel.kept.values !== variable.values) panel.kept = { key, values: variable.values, ...surface(variable, x, y, model, letters) };
  const { few, trace, named, annotations, rows, gaps } = panel.kept;
  const here = [x, y].map((dim, k) => (few[k] ? model.at[dim] : model.dims[dim].values[model.at[dim]]));
  const mark = { type: "path", path: CIRCLE, xsizemode: "pixel", ysizemode: "pixel", xanchor: here[0], yanchor: here[1], fillcolor: "#fff", line: { color: "#000", width: 2.5 } };
  const back = (dim, k, value) => (few[k] ? Math.round(value) : nearest(model.dims[dim].values, value));
  return {
    title: `${variable.label} over ${x} and ${y}`,
    traces: [trace],
    layout: layout({ xaxis: axis(model.dims[x], letters, named[0]), yaxis: axis(model.dims[y], 38, named[1]), annotations, shapes: [mark], ...(letters < NARROW ? { height: 470 } : {}) }),
    head: [label(model.dims[x]), label(model.dims[y]), label(variable)], rows,
    note: ["The circle is what is chosen; a click moves it.", elsewhere(model, variable.dims, [x, y]), gaps],
    moved: (point) => ({ [x]: back(x, 0, point.x), [y]: back(y, 1, point.y) }),
  };
}

function surface(variable, x, y, model, letters) {
  const [across, up] = [x, y].map((dim) => spread(model.dims[dim].values.length, MOST_CELLS));
  const grid = up.map((j) => across.map((i) => valueAt(variable, { ...model.at, [x]: i, [y]: j })));
  const scaled = (value) => gap(variable.log ? Math.log10(value) : value); // the colour scale of Plotly is linear
  const finite = grid.flat().filter((v) => Number.isFinite(v) && (!variable.log || v > 0));
  const ticks = [];
  if (variable.log && finite.length) {
    const ends = [Math.min(...finite), Math.max(...finite)].map(Math.log10);
    for (let power = Math.ceil(ends[0]); power <= ends[1]; power++) ticks.push(power);
  }
  const bar = { title: { text: inert(capital(label(variable)), 40), side: "right", font: { size: 13 } }, thickness: 12, outlinewidth: 0 };
  const narrow = letters < NARROW, kept = ticks.filter((_, i) => !narrow || i % Math.ceil(ticks.length / 4) === 0);
  if (ticks.length) Object.assign(bar, { tickvals: kept, ticktext: kept.map((power) => number(10 ** power)) });
  if (narrow) Object.assign(bar, { orientation: "h", x: 0.5, xanchor: "center", y: 1, yanchor: "bottom", len: 1, xpad: 0, ypad: 4, nticks: 5, title: { ...bar.title, text: inert(capital(label(variable)), letters + 6), side: "top" } });
  // Few values get cells of one size, whatever lies between them.
  const few = [x, y].map((dim) => model.dims[dim].values.length < FEWEST_CONTOURED);
  const dense = !few[0] && !few[1];
  const [xs, ys] = [[x, across], [y, up]].map(([dim, places]) => places.map((i) => model.dims[dim].values[i]));
  const [left, low] = [xs, ys].map((values, k) => (few[k] ? values.map((_, i) => i) : values));
  const named = [xs, ys].map((values, k) => (few[k] ? { type: "linear", tickvals: values.map((_, i) => i), ticktext: values.map((value) => number(value)), showgrid: false, minor: {} } : {}));
  const trace = { type: dense ? "contour" : "heatmap", x: left, y: low, z: grid.map((row) => row.map(scaled)), customdata: grid, colorscale: "Viridis", colorbar: bar };
  const hover = (a, b) => `${inert(x)} ${a}<br>${inert(y)} ${b}<br>%{customdata:.4g}<extra></extra>`;
  if (dense) trace.hovertemplate = hover("%{x}", "%{y}");
  else Object.assign(trace, { text: ys.map((up) => xs.map((across) => hover(number(across), number(up)).split("<br>%")[0])), hovertemplate: "%{text}<br>%{customdata:.4g}<extra></extra>" });
  const levels = dense && finite.length ? levelsOf(finite.map(scaled), variable.log) : null;
  if (levels) Object.assign(trace, { contours: { coloring: "fill", showlabels: false, start: levels.all[0], end: levels.all.at(-1), size: levels.size }, line: { color: "rgba(255,255,255,0.6)", width: 0.7, smoothing: 0 } });
  return {
    few, trace, named, annotations: levels ? labelled(levels.named, trace, [model.dims[x], model.dims[y]], variable.log) : [],
    rows: up.flatMap((_, j) => across.map((_, i) => [xs[i], ys[j], grid[j][i]])), gaps: holes(grid.flat(), variable),
  };
}

// Levels of contours, about a dozen at round numbers, and those that get a label: of a logarithm whole powers if there are.
function levelsOf(values, isLog) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!(high > low)) return null;
  const rough = (high - low) / 12, power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((round) => round * power).find((round) => round >= rough);
  const first = Math.ceil(low / size), all = Array.from({ length: Math.floor(high / size) - first + 1 }, (_, i) => (first + i) * size);
  const whole = isLog ? all.filter((level) => Math.abs(level - Math.round(level)) < 1e-9) : [];
  const some = whole.length > 1 ? whole : all.filter((_, i) => i % 2 === 0);
  return { size, all, named: some.filter((_, i) => i % Math.ceil(some.length / MOST_NAMED) === 0) };
}

// Labels of contours where columns cross them: those of Plotly take most of the time of a figure.
function labelled(levels, { x, y, z }, abouts, isLog) {
  const [at, up] = abouts.map((about) => (value) => (about.log ? Math.log10(value) : value));
  const columns = [0.5, 0.3, 0.7, 0.15, 0.85].map((part) => Math.round(part * (x.length - 1)));
  return levels.flatMap((level, k) => {
    for (const i of columns.map((_, c) => columns[(c + k) % columns.length])) {
      const j = z.findIndex((row, j) => j && row[i] !== null && z[j - 1][i] !== null && (row[i] - level) * (z[j - 1][i] - level) <= 0);
      if (j > 0.06 * z.length && j < 0.94 * z.length) return [{ x: at(x[i]), y: up(y[j]), text: number(isLog ? 10 ** level : level, 3), showarrow: false, font: { size: 11, color: "#fff" }, bgcolor: "rgba(0,0,0,0.35)", borderpad: 1 }];
    }
    return [];
  });
}

function bars(panel, model, pick, letters) {
  const texts = model.dims[panel.over].values, first = model.variables[panel.series[0].variable];
  const values = (name) => texts.map((_, i) => valueAt(model.variables[name], { ...model.at, [panel.over]: i }));
  const columns = panel.series.map((one) => values(one.variable));
  const base = panel.base ? valueAt(model.variables[panel.base], model.at) : 0;
  const strength = texts.map((_, i) => Math.abs(panel.base ? columns[0][i] - columns[1][i] : columns.at(-1)[i]) || 0);
  const order = texts.map((_, i) => i).filter((i) => strength[i] > 0).sort((i, j) => strength[i] - strength[j]);
  const idle = texts.filter((_, i) => !(strength[i] > 0));
  const head = [panel.over], rows = order.toReversed().map((i) => [texts[i]]);
  const traces = panel.series.map((one, k) => {
    const ends = one.low ? [values(one.low), values(one.high)] : null;
    head.push(one.label ?? first.label, ...(ends ? ["from", "to"] : one.error ? ["standard error"] : []));
    rows.forEach((row, r) => {
      const i = order[order.length - 1 - r];
      row.push(columns[k][i], ...(ends ? [ends[0][i], ends[1][i]] : one.error ? [values(one.error)[i]] : []));
    });
    const error = ends ? { type: "data", symmetric: false, array: order.map((i) => ends[1][i] - columns[k][i]), arrayminus: order.map((i) => columns[k][i] - ends[0][i]), color: ink("ink"), thickness: 1.2 } : one.error ? { type: "data", array: order.map((i) => values(one.error)[i]), color: ink("ink"), thickness: 1.2 } : undefined;
    return { type: "bar", orientation: "h", y: order.map((i) => inert(texts[i])), x: order.map((i) => gap(columns[k][i] - base)), base, name: inert(one.label ?? first.label), marker: { color: COLOURS[k] }, error_x: error, hovertemplate: panel.base ? "%{y}: %{customdata:.4g}" : "%{y}: %{x:.4g}", customdata: order.map((i) => columns[k][i]) };
  });
  const about = panel.label ? { label: panel.label, unit: first.unit } : first;
  return {
    title: panel.title ?? first.label, traces,
    layout: layout({ barmode: panel.base ? "overlay" : "group", showlegend: traces.length > 1, xaxis: axis(about, letters, { type: "linear" }), yaxis: { automargin: true, linecolor: ink("faint") }, height: Math.max(250, 120 + (panel.base || traces.length < 3 ? 34 : 17) * order.length * (panel.base ? 1 : traces.length)) }),
    head, rows, note: [elsewhere(model, first.dims, [panel.over]), idle.length && !idle.includes(undefined) ? `Without effect: ${idle.join(", ")}.` : ""],
  };
}

function columns(panel, model, pick, letters) {
  const variable = model.variables[panel.variable], dates = model.variables[panel.at], over = model.dims[panel.over].values;
  const at = (v, i) => valueAt(v, { ...model.at, [panel.over]: i });
  const bought = over.map((_, i) => [number(at(dates, i)), at(variable, i)]);
  const beside = panel.beside.map((name) => [model.variables[name].label, valueAt(model.variables[name], model.at)]);
  const trace = (rows, colour, names) => ({ type: "bar", x: names, y: rows.map(([, value]) => gap(value)), marker: { color: colour }, hovertemplate: "%{x}: %{y:.1%}<extra></extra>", text: rows.map(([, value]) => (value > 0.0005 ? `${number(100 * value, 3)} %` : "")), textposition: "outside", cliponaxis: false, constraintext: "none", textfont: { size: 12 } });
  return {
    title: "The split", traces: [trace(bought, COLOURS[0], bought.map(([name]) => inert(name))), trace(beside, COLOURS[1], beside.map(() => "research"))],
    layout: layout({ xaxis: { type: "category", automargin: true, range: [-0.9, over.length + panel.beside.length - 0.4], title: { text: inert(`Accelerators, by ${label(dates)}; efficiency research`, letters), standoff: 8, font: { size: 13 } } }, yaxis: axis({ label: "share of the budget", unit: "" }, 38, { rangemode: "tozero", tickformat: ".0%" }), margin: { l: 64, r: 14, t: 26, b: 50 } }),
    head: ["spent on", "share of the budget"], rows: [...bought.map(([name, value]) => [`accelerators at ${name} ${dates.unit}`, value]), ...beside], note: [elsewhere(model, variable.dims, [panel.over])],
  };
}

// The points that are not on a frontier, as a density behind it, on the scales of its axes.
function density(plane, x, y, abouts) {
  const [ends, turned] = [plane.ends, plane.x !== x], cells = plane.shape[0];
  const counts = (i, j) => plane.values[turned ? i * cells + j : j * cells + i]; // across, up
  const all = Array.from({ length: cells }, (_, i) => i);
  const edges = (k) => Array.from({ length: cells + 1 }, (_, i) => ends[k][0] + (i / cells) * (ends[k][1] - ends[k][0])).map((v) => (abouts[turned ? 1 - k : k].log ? 10 ** v : v));
  const z = all.map((j) => all.map((i) => (counts(i, j) ? Math.log10(counts(i, j)) : null)));
  return { type: "heatmap", x: edges(turned ? 1 : 0), y: edges(turned ? 0 : 1), z, showscale: false, hoverinfo: "skip", colorscale: [[0, "rgba(128,128,128,0.14)"], [1, "rgba(128,128,128,0.6)"]] };
}

function scatter(panel, model, pick, letters) {
  const count = model.dims[panel.over].values.length, all = Array.from({ length: count }, (_, i) => i);
  const values = (name) => all.map((i) => valueAt(model.variables[name], { [panel.over]: i }));
  const series = panel.series.map((one, k) => (k || !panel.xs ? one : { ...one, x: pick("x", "Across", panel.xs, one.x), y: pick("y", "Up", panel.ys, one.y) }));
  const traces = [], head = [panel.over], seen = new Map();
  const mine = model.at[panel.over];
  series.forEach((one, k) => {
    const [xs, ys] = [values(one.x), values(one.y)];
    const keys = all.map((i) => panel.group.map((name) => quantity(valueAt(model.variables[name], { [panel.over]: i }), model.variables[name])).join(", "));
    const groups = [...new Set(keys)];
    groups.forEach((key, g) => {
      const members = all.filter((i) => keys[i] === key && !(panel.over === "box" && i === count - 1));
      const colour = COLOURS[(k + g) % COLOURS.length];
      traces.push({ x: members.map((i) => gap(xs[i])), y: members.map((i) => gap(ys[i])), customdata: members, mode: panel.joined ? "lines+markers" : "markers", marker: { color: colour, size: 6 }, line: { color: colour, dash: DASHES[(k + g) % DASHES.length], width: 1.5 }, name: inert(one.label ?? (key || "frontier")), hovertemplate: "%{x:.4g}, %{y:.4g}" });
    });
    const marked = panel.mark ? all.filter((i) => valueAt(model.variables[panel.mark], { [panel.over]: i })) : [];
    if (!k && marked.length) traces.push({ x: marked.map((i) => gap(xs[i])), y: marked.map((i) => gap(ys[i])), customdata: marked, mode: "markers", marker: { symbol: "diamond-open", size: 13, color: ink("ink"), line: { width: 2 } }, name: panel.over === "box" ? "answer" : "knee", hovertemplate: "%{x:.4g}, %{y:.4g}" });
    traces.push({ x: [gap(xs[mine])], y: [gap(ys[mine])], mode: "markers", marker: { size: 13, color: ink("ink"), line: { color: ink("page"), width: 2 } }, showlegend: !k, name: "chosen", hoverinfo: "skip" });
    seen.set(one.x, xs).set(one.y, ys);
  });
  panel.group.forEach((name) => seen.set(name, values(name)));
  head.push(...[...seen.keys()].map((name) => label(model.variables[name])));
  const [x, y] = [model.variables[series[0].x], model.variables[series[0].y]];
  const plane = (panel.others ?? []).find((one) => [one.x, one.y].includes(series[0].x) && [one.x, one.y].includes(series[0].y) && series[0].x !== series[0].y);
  if (plane) traces.unshift(density(plane, series[0].x, series[0].y, [x, y]));
  return {
    title: `${y.label} against ${x.label}`, traces,
    layout: layout({ showlegend: traces.length > 2, xaxis: axis(x, letters, x.log ? {} : { rangemode: "normal" }), yaxis: axis(y, 38) }),
    head, rows: all.map((i) => [i, ...[...seen.values()].map((v) => v[i])]), note: ["A click on a point chooses it.", plane ? `Grey: other points, ${plane.number.toLocaleString("en-US")} spread evenly over the sweep, darker where there are more.` : ""],
    moved: (point) => (point.customdata === undefined ? {} : { [panel.over]: point.customdata }),
  };
}

function ranges(panel, model, pick, letters) {
  const variable = model.variables[panel.variable], names = model.dims[panel.over].values;
  const ends = names.map((_, i) => [0, 1].map((k) => valueAt(variable, { ...model.at, [panel.over]: i, [panel.limits]: k })));
  const words = panel.labels[model.at.box];
  const order = names.map((_, i) => names.length - 1 - i), limited = (i) => ends[i][0] > 0 || ends[i][1] < 1;
  const bar = (base, x, colour) => ({ type: "bar", orientation: "h", y: order, base, x, marker: { color: colour }, width: 0.34, hovertemplate: "%{base:.3f} to %{x:.3f}<extra></extra>" });
  return {
    title: "Limits of the box",
    traces: [{ ...bar(0, order.map(() => 1), ink("line")), hoverinfo: "skip", hovertemplate: null }, bar(ends.map((e) => e[0]), ends.map((e) => e[1] - e[0]), ends.map((_, i) => (limited(i) ? COLOURS[0] : ink("faint"))))],
    layout: layout({
      barmode: "overlay", xaxis: axis({ label: "quantile of the draws", unit: "" }, letters, { range: [0, 1] }), height: 110 + 58 * names.length,
      yaxis: { visible: false, range: [-0.6, names.length - 0.2] }, margin: { l: 14, r: 14, t: 6, b: 50 },
      annotations: names.map((name, i) => ({ x: 0, y: order[i], yshift: 20, xanchor: "left", showarrow: false, text: inert(`${name}: ${words[i]}`), font: { color: ink("ink") } })),
    }),
    head: ["parameter", "limits", "quantile from", "to"], rows: names.map((name, i) => [name, words[i], ...ends[i]]), note: [],
  };
}

// Height of a legend beyond its first row, which is not to come out of the figure's.
function underneath({ traces, layout }, width) {
  const shown = layout.showlegend ? traces.filter((trace) => trace.showlegend !== false).map((trace) => String(trace.name ?? "").length) : [];
  const columns = Math.max(1, Math.floor((width - 80) / (60 + 7.5 * Math.max(...shown, 1))));
  return 20 * Math.max(0, Math.ceil(shown.length / columns) - 1);
}

const DRAW = { lines, map, bars, columns, scatter, ranges };
