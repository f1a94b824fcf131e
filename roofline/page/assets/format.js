// Numbers as people read them: three digits and a unit.

function digits(value) {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  return size >= 3 ? Math.round(value).toLocaleString("en-US") : value.toFixed(Math.min(6, Math.max(0, 2 - size)));
}

function scaled(value, unit, steps) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return `0 ${unit}`;
  const [factor, prefix] = steps.find(([each]) => Math.abs(value) >= each * 0.9995) ?? steps.at(-1);
  return `${digits(value / factor)} ${prefix}${unit}`;
}

const LARGE = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const SMALL = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];

export const bytes = (value) => scaled(value, "B", LARGE);
export const flops = (value) => scaled(value, "FLOP", LARGE);
export const flopsPerS = (value) => scaled(value, "FLOP/s", LARGE);
export const bytesPerS = (value) => scaled(value, "B/s", LARGE);
export const seconds = (value) => scaled(value, "s", SMALL);
export const perS = (value) => (value < 1e6 ? `${digits(value)}/s` : `${count(value)}/s`);
export const count = (value) => scaled(value, "", LARGE).trim();
export function percent(value) {
  if (value > 0 && value < 0.001) return "<0.1 %";
  return `${value === 0 || value >= 0.9995 ? Math.round(100 * value) : (100 * value).toFixed(1)} %`;
}
// Parameters as models are named: 32.8B.
export const parameters = (value) => count(value).replace(" ", "").replace("G", "B");
export const plain = (value) => (value === null || value === undefined ? "–" : digits(value));
export const whole = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-US"));
export const usd = (value) => (value === null ? "–" : `$${value >= 10 ? digits(value) : value >= 0.01 || value === 0 ? value.toFixed(2) : Number(value.toPrecision(2))}`);

// A range in one unit: 5.54–8.10 ms.
export function range(low, high, format) {
  const [a, unit] = format(low).split(" ");
  const [b, same] = format(high).split(" ");
  return unit === same ? `${a}–${b} ${same}` : `${a} ${unit}–${b} ${same}`;
}
