// A slider over round numbers, and a field beside it for any other.

import { byId, h } from "./dom.js";

export function scale(low, high) {
  const found = [];
  for (let each = 1; each <= high; each *= 2) for (const part of each < 8 ? [1] : [1, 1.25, 1.5, 1.75]) found.push(each * part);
  return [...found.filter((each) => each >= low && each <= high), ...(Number.isInteger(Math.log2(high)) ? [] : [high])];
}

// The place of the value that is nearest on a scale of logarithms.
export const nearest = (values, value) => values.reduce((best, each, place) => (Math.abs(Math.log(each / value)) < Math.abs(Math.log(values[best] / value)) ? place : best), 0);

// The one that is there already if its range is the same, at its value unless one is about to change it. `moving` and
// `chosen` are told the value as text, while it moves and when it rests.
export function slider({ name, title, unit, low, most, value }, moving, chosen) {
  const values = scale(Math.min(low, most), most);
  const id = `slider-${name}`;
  const existing = byId(id);
  if (existing && existing.dataset.most === String(most)) {
    const [range, number] = [existing, byId(`${id}-number`)];
    if (document.activeElement !== range) range.value = nearest(values, value);
    if (document.activeElement !== number) number.value = value;
    range.setAttribute("aria-valuetext", `${value} ${unit}`);
    return existing.closest(".slider");
  }
  const range = h("input", { type: "range", id, min: 0, max: values.length - 1, step: 1, "data-most": most, "aria-label": title, "aria-valuetext": `${value} ${unit}`,
    oninput: (event) => moving(String(values[event.target.value])), onchange: (event) => chosen(String(values[event.target.value])) });
  range.value = nearest(values, value);
  const number = h("input", { type: "number", id: `${id}-number`, min: 1, max: most, "aria-label": `${title}, ${unit}`,
    onchange: (event) => event.target.value && chosen(String(Math.max(1, Math.round(Number(event.target.value))))) });
  number.value = value;
  return h("div", { class: "slider", "data-name": name }, h("label", { for: `${id}-number` }, title, " ", h("small", {}, unit)), number, range);
}
