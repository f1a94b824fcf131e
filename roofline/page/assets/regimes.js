// The map of regimes: what binds a phase over batch and length, from the recording, with a cross where one stands.

import { svg } from "./dom.js";
import { boundBy } from "./answer.js";
import { whole } from "./format.js";
import { TapeError } from "./tape.js";

const MARGIN = { left: 64, right: 16, top: 14, bottom: 40 };
const AT_ONCE_MS = 10;

// What binds at each batch and length, and whether it fits: a row for each length. Worked out while nothing else is;
// null where `current` says that it is no longer asked for.
export async function mapped(tape, phase, name, batches, lengths, point, current) {
  const found = [];
  let start = performance.now();
  for (const length of lengths) {
    const row = [];
    for (const batch of batches) row.push(regime(tape, phase, { ...point, batch, [name]: length }));
    found.push(row);
    if (performance.now() - start > AT_ONCE_MS) {
      await new Promise((done) => setTimeout(done));
      if (!current()) return null;
      start = performance.now();
    }
  }
  return found;
}

const TIMES = ["time_s", "compute_s", "memory_s", "link_s"];

function regime(tape, phase, point) {
  try {
    tape.play(point);
  } catch (failure) {
    if (failure instanceof TapeError) return null;  // the layout does not divide it, or another choice is made
    throw failure;
  }
  const timed = Object.fromEntries(TIMES.map((name) => [name, tape.total(phase, name)]));
  return { bound: boundBy(timed), fits: tape.result("fits") !== 0 };
}

// Neighbours of one kind in a row, as [first, one past the last, kind].
function runs(row, kind) {
  const found = [];
  row.forEach((cell, place) => {
    const own = cell ? kind(cell) : "";
    const last = found.at(-1);
    if (last && last[2] === own) last[1] = place + 1;
    else found.push([place, place + 1, own]);
  });
  return found.filter(([, , own]) => own);
}

// The edges of cells around values, half way between neighbours on a scale of logarithms.
function edges(values) {
  const between = values.slice(1).map((value, place) => Math.sqrt(value * values[place]));
  return [values[0] ** 1.5 / Math.sqrt(values[1] ?? values[0]), ...between, values.at(-1) ** 1.5 / Math.sqrt(values.at(-2) ?? values.at(-1))];
}

function axisOf(values, from, to) {
  const own = edges(values).map(Math.log);
  const at = (log) => from + ((log - own[0]) / (own.at(-1) - own[0])) * (to - from);
  const inside = (value) => Math.min(own.at(-1), Math.max(own[0], Math.log(value)));
  const nearest = (where) => values[Math.max(0, own.findLastIndex((each) => (at(each) - where) * (to - from) <= 0))] ?? values.at(-1);
  return { edge: (place) => at(own[place]), of: (value) => at(inside(value)), nearest };
}

const powers = (values, every) => values.filter((value) => Number.isInteger(Math.log2(value)) && Math.log2(value) % every === 0);

export function regimes(cells, { batches, lengths, batch, length, title, axis, width, height, choose }) {
  const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom];
  const [x, y] = [axisOf(batches, left, right), axisOf(lengths, bottom, top)];
  const area = (row) => ([from, to, kind]) => svg("rect", { class: kind, x: x.edge(from).toFixed(2), y: y.edge(row + 1).toFixed(2), width: (x.edge(to) - x.edge(from) + 0.3).toFixed(2), height: (y.edge(row) - y.edge(row + 1) + 0.3).toFixed(2) });
  const areas = cells.flatMap((row, place) => runs(row, (cell) => cell.bound).map(area(place)));
  const over = cells.flatMap((row, place) => runs(row, (cell) => (cell.fits ? "" : "over")).map(area(place)));
  const [cx, cy] = [x.of(batch), y.of(length)];
  const click = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const scale = width / box.width;
    choose(x.nearest((event.clientX - box.left) * scale), y.nearest((event.clientY - box.top) * scale));
  };
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title, class: "roofline regimes", onclick: click },
    svg("defs", {}, svg("pattern", { id: "over", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("rect", { class: "stripe", width: 2.4, height: 7 }))),
    svg("g", { class: "areas" }, areas), over, words(cells, x, y, [left + 32, right - 32]),
    powers(batches, width < 560 ? 2 : 1).map((value) => svg("text", { class: "tick", x: x.of(value), y: bottom + 16, "text-anchor": "middle" }, whole(value))),
    powers(lengths, 2).map((value) => svg("text", { class: "tick", x: left - 8, y: y.of(value) + 4, "text-anchor": "end" }, whole(value))),
    svg("text", { class: "axis", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, "batch [sequences]"),
    svg("text", { class: "axis", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, `${axis} [tokens]`),
    svg("path", { class: "cross under", d: `M${cx - 9} ${cy}H${cx + 9}M${cx} ${cy - 9}V${cy + 9}` }),
    svg("path", { class: "cross", d: `M${cx - 9} ${cy}H${cx + 9}M${cx} ${cy - 9}V${cy + 9}` }));
}

// The name of each regime where it is wide: where it fits, if it does somewhere; and of what does not fit.
function words(cells, x, y, [least, most]) {
  const kinds = [(cell) => (cell.fits ? cell.bound : ""), (cell) => (cell.fits ? "" : "does not fit")];
  const every = cells.flatMap((row, place) => kinds.flatMap((kind) => runs(row, kind).map(([from, to, own]) => ({ own, place, from: x.edge(from), to: x.edge(to) }))));
  return [...new Set(every.map((each) => each.own))].flatMap((own) => {
    const its = every.filter((each) => each.own === own);
    const widest = Math.max(...its.map((each) => each.to - each.from));
    const wide = its.filter((each) => each.to - each.from > 0.6 * widest);
    const { place, from, to } = wide[Math.floor(wide.length / 2)];
    if (widest < 24) return [];
    const short = widest < 100 || own === "does not fit";
    const middle = Math.min(most, Math.max(least, (from + to) / 2));
    return [svg("text", { class: "word", x: middle.toFixed(1), y: ((y.edge(place) + y.edge(place + 1)) / 2 + 4).toFixed(1), "text-anchor": "middle" }, short ? own : `${own}-bound`)];
  });
}
