"use strict";
// Arrays of the page: what sweep/report/page/cube.py packed. Nothing is computed here but looked up.

const FIRST = 4; // codes below it are NaN, -inf, 0 and inf

async function inflated(text) {
  const packed = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// A variable with `values`, of float64 or of codes, and `meaning`, the value of each code.
async function unpacked(variable) {
  const bytes = await inflated(variable.data);
  const strides = variable.shape.map((_, i) => variable.shape.slice(i + 1).reduce((a, b) => a * b, 1));
  if (variable.code === "float64") return { ...variable, data: null, strides, values: new Float64Array(bytes) };
  const planes = new Uint8Array(bytes);
  const count = planes.length / 2;
  const codes = new Uint16Array(count);
  for (let i = 0; i < count; i++) codes[i] = planes[i] | (planes[count + i] << 8);
  const across = variable.shape.at(-1);
  const plane = across * (variable.shape.at(-2) ?? 1);
  // Sums undo the differences, modulo 2^16 as they were taken.
  for (let i = 0; i < count; i++) if (i % across) codes[i] += codes[i - 1];
  for (let i = 0; i < count; i++) if (i % plane >= across) codes[i] += codes[i - across];
  const meaning = Float64Array.from({ length: 65536 }, (_, code) => {
    const place = variable.low + (code - FIRST) * variable.step;
    return variable.code === "log" ? Math.exp(place) : place;
  });
  meaning.set([NaN, -Infinity, 0, Infinity]);
  return { ...variable, data: null, strides, values: codes, meaning };
}

// Value of a variable at an index of each of its dimensions.
function valueAt(variable, at) {
  let place = 0;
  for (let i = 0; i < variable.dims.length; i++) place += at[variable.dims[i]] * variable.strides[i];
  const value = variable.values[place];
  return variable.meaning ? variable.meaning[value] : value;
}
