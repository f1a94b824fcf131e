// Arithmetic intensity over the batch: a curve for each of some operators, and the ridge of a device.

import { svg } from "./dom.js";
import { plain, whole } from "./format.js";

const MARGIN = { left: 64, right: 16, top: 18, bottom: 40 };

const between = (value, [low, high], [from, to]) => from + (Math.log(value / low) / Math.log(high / low)) * (to - from);
const powersOfTen = ([low, high]) => Array.from({ length: 12 }, (_, place) => 10 ** (place - 2)).filter((each) => each >= low * 0.999 && each <= high * 1.001);

const spanOf = (batches) => [batches[0], batches.at(-1)];
const acrossOf = (width) => [MARGIN.left, width - MARGIN.right];

// The batch at a place from the left.
export function batchAt(x, batches, width) {
  const log = (batch) => between(batch, spanOf(batches), acrossOf(width));
  return batches.reduce((best, each) => (Math.abs(log(each) - x) < Math.abs(log(best) - x) ? each : best));
}

// `curves`: name, class and an intensity, or null, for each of the batches.
export function intensities({ batches, curves, batch, ridge, title, width, height }) {
  const known = curves.flatMap((each) => each.values).filter((value) => value > 0);
  const span = [Math.min(1, ...known) / 2, 2 * Math.max(ridge, ...known)];
  const [left, right] = acrossOf(width);
  const [top, bottom] = [MARGIN.top, height - MARGIN.bottom];
  const x = (value) => between(value, spanOf(batches), [left, right]);
  const y = (value) => between(value, span, [bottom, top]);
  const drawn = curves.map(({ name, kind, values }) => {
    const path = values.map((value, place) => (value > 0 ? `${place && values[place - 1] > 0 ? "L" : "M"}${x(batches[place]).toFixed(1)} ${y(value).toFixed(1)}` : "")).join("");
    const here = values[batches.indexOf(batch)];
    const last = values.findLastIndex((value) => value > 0);
    return [
      svg("path", { class: `curve ${kind}`, d: path }),
      here > 0 && svg("circle", { class: `dot ${kind}`, cx: x(batch), cy: y(here), r: 7 }),
      last >= 0 && svg("text", { class: "word", x: right - 6, y: y(values[last]) - 9, "text-anchor": "end" }, name),
    ];
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title, class: "roofline intensities" },
    powersOfTen(span).map((value) => [svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }), svg("text", { class: "tick", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, String(value))]).flat(),
    batches.filter((value) => Number.isInteger(Math.log2(value)) && Math.log2(value) % (width < 560 ? 2 : 1) === 0).map((value) => svg("text", { class: "tick", x: x(value), y: bottom + 16, "text-anchor": "middle" }, whole(value))),
    svg("line", { class: "roof second", x1: left, x2: right, y1: y(ridge), y2: y(ridge) }),
    svg("text", { class: "rooflabel", x: left + 8, y: y(ridge) - 8 }, `ridge ${plain(ridge)} FLOP/B`),
    svg("line", { class: "here", x1: x(batch), x2: x(batch), y1: top, y2: bottom }),
    drawn.flat().filter(Boolean),
    svg("text", { class: "axis", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, "batch [sequences]"),
    svg("text", { class: "axis", transform: `translate(14 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "arithmetic intensity [FLOP/B]"));
}
