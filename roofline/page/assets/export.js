// What is shown, as a file: the numbers as JSON and CSV, the roofline as SVG and PNG.

import { rows } from "./table.js";

const save = (name, type, text) => saveBlob(name, new Blob([text], { type }));

function saveBlob(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const called = (answer) => `${answer.model}-${answer.hardware.name}`.replaceAll(/[^\w.-]+/g, "_");

export function json(answer) {
  save(`${called(answer)}.json`, "application/json", `${JSON.stringify(answer, null, 2)}\n`);
}

const FIELDS = ["name", "kind", "count", "time_s", "bound_s", "low_s", "high_s", "flops", "bytes", "intensity", "mfu", "mbu", "link_bytes", "bound_by"];

// A cell that a spreadsheet would take for a formula is text.
function field(value) {
  if (typeof value !== "string") return String(value ?? "");
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvText(answer) {
  const lines = Object.entries(answer.phases).flatMap(([name, phase]) =>
    rows(phase).map((each) => [name, ...FIELDS.map((key) => field(each[key]))].join(",")));
  return `${[["phase", ...FIELDS].join(","), ...lines].join("\n")}\n`;
}

export function csv(answer) {
  save(`${called(answer)}.csv`, "text/csv", csvText(answer));
}

const STYLED = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-family", "font-size", "font-weight", "paint-order"];

export function picture(answer, element) {
  save(`${called(answer)}.svg`, "image/svg+xml", drawing(element));
}

// Two dots for each of the page's, on its paper.
export async function bitmap(answer, element) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing(element))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(element.closest(".card")).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  saveBlob(`${called(answer)}.png`, await new Promise((done) => canvas.toBlob(done, "image/png")));
}

// The picture with its styles as attributes, so that it looks the same everywhere.
function drawing(element) {
  const copy = element.cloneNode(true);
  const [from, to] = [element.querySelectorAll("*"), copy.querySelectorAll("*")];
  from.forEach((each, place) => {
    const style = getComputedStyle(each);
    for (const name of STYLED) to[place].setAttribute(name, style.getPropertyValue(name));
    to[place].removeAttribute("class");
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.removeAttribute("class");
  return new XMLSerializer().serializeToString(copy);
}
