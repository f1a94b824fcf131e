// The breakdown by operator, in any order.

import { h } from "./dom.js";
import { points } from "./roofline.js";
import { bytes, flops, percent, plain, seconds } from "./format.js";

const COLUMNS = [
  { key: "number", title: "#", of: (each) => each.number ?? Infinity, numeric: true },
  { key: "name", title: "Operator", of: (each) => each.name },
  { key: "count", title: "×", of: (each) => each.count, text: (each) => String(each.count), numeric: true, wide: true },
  { key: "time", title: "Time", of: (each) => each.time_s, text: (each) => seconds(each.time_s), numeric: true },
  { key: "share", title: "Share", of: (each) => each.share, numeric: true, wide: true },
  { key: "bound", title: "Bound by", of: (each) => each.bound_by },
  { key: "flops", title: "FLOPs", of: (each) => each.flops, text: (each) => (each.flops ? flops(each.flops) : "–"), numeric: true, wide: true },
  { key: "bytes", title: "Bytes", of: (each) => each.bytes, text: (each) => bytes(each.bytes), numeric: true, wide: true },
  { key: "intensity", title: "FLOP/B", of: (each) => each.intensity ?? 0, text: (each) => (each.intensity ? plain(each.intensity) : "–"), numeric: true, wide: true },
  { key: "roof", title: "Of roof", of: (each) => each.ofRoof, text: (each) => percent(each.ofRoof), numeric: true, wide: true },
];

export function rows(phase) {
  const { numbers } = points(phase);
  return phase.operators.map((each, place) => ({
    ...each,
    number: numbers.get(place),
    share: phase.time_s > 0 ? each.time_s / phase.time_s : 0,
    ofRoof: each.time_s > 0 ? each.bound_s / each.time_s : 0,
  }));
}

function ordered(found, sort) {
  const column = COLUMNS.find(({ key }) => key === sort.replace(/^-/, "")) ?? COLUMNS[3];
  const turn = sort.startsWith("-") ? -1 : 1;
  return [...found].sort((a, b) => {
    const [x, y] = [column.of(a), column.of(b)];
    return turn * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
}

function bar(each) {
  const meter = h("span", { class: `meter ${each.bound_by}` });
  meter.style.setProperty("--share", String(each.share));
  return [meter, h("span", { class: "sharetext" }, percent(each.share))];
}

// A name that may go on in the next line behind a dot or an underscore.
const breakable = (name) => name.split(/(?<=[._])/).flatMap((part, place) => (place ? [h("wbr"), part] : [part]));

function cell(column, each, choose) {
  const classes = `${column.numeric ? "numeric" : ""} ${column.wide ? "wide" : ""} ${column.key}`.trim();
  if (column.key === "number") return h("td", { class: classes }, each.number ? h("span", { class: `badge ${each.bound_by}` }, String(each.number)) : "");
  if (column.key === "name") return h("th", { scope: "row", class: classes }, h("button", { type: "button", class: "plain", "data-kept": each.name, onclick: () => choose(each.name) }, breakable(each.name)));
  if (column.key === "share") return h("td", { class: classes }, bar(each));
  if (column.key === "bound") return h("td", { class: classes }, h("span", { class: `bound ${each.bound_by}` }, each.bound_by));
  return h("td", { class: classes }, column.text(each));
}

export function table(phase, { sort, chosen, most, choose, order, all }) {
  const now = sort ?? "-time";
  const head = COLUMNS.map((column) => {
    const own = now.replace(/^-/, "") === column.key;
    const down = own ? now.startsWith("-") : false;
    const next = own ? (down ? column.key : `-${column.key}`) : `${column.numeric && column.key !== "number" ? "-" : ""}${column.key}`;
    const classes = `${column.numeric ? "numeric" : ""} ${column.wide ? "wide" : ""} ${column.key}`.trim();
    return h("th", { scope: "col", class: classes, "aria-sort": own ? (down ? "descending" : "ascending") : null },
      h("button", { type: "button", class: "plain", "data-kept": column.title, onclick: () => order(next) }, column.title, own ? h("span", { class: "arrow", "aria-hidden": "true" }, down ? " ↓" : " ↑") : null));
  });
  const found = ordered(rows(phase), now);
  const body = found.slice(0, most).map((each) =>
    h("tr", { class: each.name === chosen ? "chosen" : null, onclick: () => choose(each.name) }, COLUMNS.map((column) => cell(column, each, choose))));
  const rest = found.length - body.length;
  const more = rest > 0 ? h("tfoot", {}, h("tr", {}, h("td", { colspan: COLUMNS.length }, h("button", { type: "button", class: "plain more", onclick: all }, `and ${rest} more operators`)))) : null;
  return h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body), more);
}
