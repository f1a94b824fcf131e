// The roofline of one phase: operators as numbered points in a frame that stays while they move.

import { svg } from "./dom.js";
import { bytesPerS, flopsPerS } from "./format.js";

const NUMBERED = 12;
const MARGIN = { left: 64, right: 16, top: 18, bottom: 40 };
const LEAST_INTENSITY = 0.05;
const DECADES = 5;

const power = (value) => {
  const exponent = Math.round(Math.log10(value));
  const units = ["", "k", "M", "G", "T", "P", "E"];
  return exponent < 0 ? String(10 ** exponent) : `${10 ** (exponent % 3)}${units[Math.floor(exponent / 3)]}`;
};

function decades(low, high) {
  const found = [];
  for (let exponent = Math.ceil(Math.log10(low) - 1e-9); 10 ** exponent <= high * 1.0001; exponent++) found.push(10 ** exponent);
  return found;
}

// Operators with work and bytes, the costliest first; those that take most of the time bear numbers.
export function points(phase) {
  const ordered = phase.operators.map((each, place) => ({ ...each, place })).sort((a, b) => b.time_s - a.time_s);
  const numbers = new Map(ordered.slice(0, NUMBERED).map((each, rank) => [each.place, rank + 1]));
  const drawn = ordered.filter((each) => each.flops > 0 && each.bytes > 0 && each.time_s > 0);
  return { numbers, drawn };
}

// The intensity at a place from the left.
export function intensityAt(px, roof, width) {
  const { x, left, right } = frame(width, width, roof);
  return x.low * (x.high / x.low) ** Math.min(1, Math.max(0, (px - left) / (right - left)));
}

function frame(width, height, roof) {
  const ridges = roof.peaks.map((peak) => peak.flops_per_s / roof.bandwidth_bytes_per_s);
  const top = Math.max(...roof.peaks.map((peak) => peak.flops_per_s)) * 2;
  const x = { low: LEAST_INTENSITY, high: Math.max(2e4, 30 * Math.max(...ridges)) };
  const y = { low: top / 10 ** DECADES, high: top };
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const [bottom, above] = [height - MARGIN.bottom, MARGIN.top];
  const at = (value, { low, high }, from, to) => from + ((Math.log10(value) - Math.log10(low)) / (Math.log10(high) - Math.log10(low))) * (to - from);
  return {
    x, y, left, right, bottom, above,
    px: (value) => at(Math.min(x.high, Math.max(x.low, value)), x, left, right),
    py: (value) => at(Math.min(y.high, Math.max(y.low, value)), y, bottom, above),
  };
}

function axes(f) {
  const vertical = decades(f.x.low, f.x.high).map((value) => [
    svg("line", { class: "grid", x1: f.px(value), x2: f.px(value), y1: f.above, y2: f.bottom }),
    svg("text", { class: "tick", x: f.px(value), y: f.bottom + 16, "text-anchor": "middle" }, power(value)),
  ]);
  const horizontal = decades(f.y.low, f.y.high).map((value) => [
    svg("line", { class: "grid", x1: f.left, x2: f.right, y1: f.py(value), y2: f.py(value) }),
    svg("text", { class: "tick", x: f.left - 8, y: f.py(value) + 4, "text-anchor": "end" }, power(value)),
  ]);
  return [
    ...vertical.flat(), ...horizontal.flat(),
    svg("text", { class: "axis", x: (f.left + f.right) / 2, y: f.bottom + 34, "text-anchor": "middle" }, "arithmetic intensity [FLOP/B]"),
    svg("text", { class: "axis", transform: `translate(14 ${(f.above + f.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "FLOP/s"),
  ];
}

function roofs(f, roof) {
  const bandwidth = roof.bandwidth_bytes_per_s;
  const highest = Math.max(...roof.peaks.map((peak) => peak.flops_per_s));
  const start = Math.max(f.x.low, f.y.low / bandwidth);
  const ridge = highest / bandwidth;
  const [x1, y1, x2, y2] = [f.px(start), f.py(bandwidth * start), f.px(ridge), f.py(highest)];
  const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
  const middle = start * (ridge / start) ** 0.2;
  const flat = roof.peaks.map((peak, place) => [
    svg("line", { class: place ? "roof second" : "roof", x1: f.px(peak.flops_per_s / bandwidth), y1: f.py(peak.flops_per_s), x2: f.right, y2: f.py(peak.flops_per_s) }),
    svg("text", { class: "rooflabel", x: f.px(peak.flops_per_s / bandwidth) - 9, y: f.py(peak.flops_per_s) + 4, "text-anchor": "end" }, `${peak.dtype} ${flopsPerS(peak.flops_per_s)}`),
  ]);
  return [
    svg("line", { class: "roof", x1, y1, x2, y2 }),
    svg("text", { class: "rooflabel", transform: `translate(${f.px(middle)} ${f.py(bandwidth * middle) - 7}) rotate(${angle})`, "text-anchor": "middle" }, bytesPerS(bandwidth)),
    ...flat.flat(),
  ];
}

// Where a number stands: in its point if there is room, else on the first free side of it.
function placed(box, taken, radius) {
  const sides = [[1, -1], [1, 1], [-1, -1], [-1, 1], [0, -1.6], [0, 1.6], [1.8, 0], [-1.8, 0], [2.4, -2], [-2.4, 2], [2.4, 2], [-2.4, -2]];
  const size = 15;
  const free = ([x, y]) => taken.every((other) => Math.abs(other.x - x) > (other.size + size) / 2 || Math.abs(other.y - y) > (other.size + size) / 2);
  if (radius >= 9 && free([box.x, box.y])) return [box.x, box.y];
  const reach = radius + 7;
  const found = sides.map(([dx, dy]) => [box.x + dx * reach, box.y + dy * reach]).find(free);
  return found ?? [box.x + reach, box.y - reach];
}

export function roofline(phase, roof, { width, height, chosen, choose, title }) {
  const f = frame(width, height, roof);
  const { numbers, drawn } = points(phase);
  const marks = drawn.map((each) => {
    const share = each.time_s / phase.time_s;
    return { each, x: f.px(each.intensity), y: f.py(each.flops / each.time_s), radius: 3.5 + 13 * Math.sqrt(share) };
  });
  const taken = marks.map((mark) => ({ mark, x: mark.x, y: mark.y, size: mark.radius * 1.2 }));
  const dots = marks.map(({ each, x, y, radius }) =>
    svg("circle", { class: `dot ${each.bound_by}${each.name === chosen ? " chosen" : ""}`, cx: x.toFixed(2), cy: y.toFixed(2), r: radius.toFixed(2), onclick: choose && (() => choose(each.name)) },
      svg("title", {}, `${each.name}: ${flopsPerS(each.flops / each.time_s)} at ${each.intensity.toPrecision(3)} FLOP/B, bound by ${each.bound_by}`)));
  const labels = marks.filter(({ each }) => numbers.has(each.place)).map((mark) => {
    const [x, y] = placed(mark, taken.filter((other) => other.mark !== mark), mark.radius);
    const inside = x === mark.x && y === mark.y;
    taken.push({ x, y, size: 15 });
    return svg("text", { class: inside ? `number inside ${mark.each.bound_by}` : "number", x: x.toFixed(2), y: (y + 4).toFixed(2), "text-anchor": "middle" }, String(numbers.get(mark.each.place)));
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title, class: "roofline" },
    axes(f), roofs(f, roof), dots.reverse(), labels);
}
