// Numbers, quantities and sentences, worded as sweep/report/slices.py words them.

function number(value, digits = 4) {
  if (Number.isNaN(value)) return "undefined";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "minus infinite";
  const rounded = Number(value.toPrecision(digits));
  if (Math.abs(rounded) < 1e8 && Number.isInteger(rounded)) return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
  const size = Math.abs(rounded);
  return size >= 10 ** digits || size < 1e-4 ? rounded.toExponential().replace("e+", "e") : String(rounded);
}

function quantity(value, about) {
  if (typeof value === "string") return value;
  if (about.words) {
    if (value === Infinity) return about.words[0];
    if (value === -Infinity || value === 0) return about.words[1];
  }
  return Number.isFinite(value) && about.unit ? `${number(value)} ${about.unit}` : number(value);
}

// Names of parameters stay as they are.
function capital(text) {
  return text.split(" ")[0].includes("_") ? text : text.charAt(0).toUpperCase() + text.slice(1);
}

function label(about) {
  return about.unit ? `${about.label} (${about.unit})` : about.label;
}

// Text that Plotly shows as it is, broken into lines.
function inert(text, letters = 1000) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    const line = lines.at(-1);
    if (line && line.length + word.length >= letters) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  const escape = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return lines.map(escape).join("<br>");
}

// A cell of a CSV file, in which a spreadsheet sees no formula.
function cell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function said(name, variable, at, quantile) {
  if (!quantile || !variable.dims.includes("quantile")) return quantity(valueAt(variable, at), variable);
  if (quantile.values.length === 1) return `${quantity(valueAt(variable, at), variable)}, not exceeded with ${number(100 * quantile.values[0])} % probability`;
  const all = quantile.values.map((_, i) => quantity(valueAt(variable, { ...at, quantile: i }), variable));
  const percent = (value) => `${number(100 * value)} %`;
  const half = quantile.values.indexOf(0.5);
  const ends = `between ${all[0]} and ${all.at(-1)} with ${percent(quantile.values.at(-1) - quantile.values[0])} probability`;
  return half < 0 ? ends : `${all[half]} in the median, ${ends}`;
}
