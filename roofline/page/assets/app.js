// The page: a question, its answer, and what moves between the two.

import * as format from "./format.js";
import { byId, h, show } from "./dom.js";
import { also, command, DEGREES, ggufName, joined, LENGTHS, parted, python, read, written } from "./state.js";
import { played, usdPerMtok } from "./answer.js";
import { pointOf, Refused, source } from "./source.js";
import { Combobox } from "./combobox.js";
import { roofline } from "./roofline.js";
import { mapped, regimes } from "./regimes.js";
import { table } from "./table.js";
import { typeset } from "./formula.js";
import { GgufError, header } from "./gguf.js";
import { nearest, scale, slider } from "./slider.js";
import * as files from "./export.js";

const SEARCHED = Object.fromEntries(DEGREES.map((name) => [name, ""]));

let from;
let library;
let state;
let answer;
let roof;
let tape;
let asked = 0;
let shownFormula = {};  // whose letters are shown, or will be
let painting = false;
const waitingForQuiet = [];
const boxes = {};
const QUIET_MS = 350;  // what takes the server longer than an answer waits until one has chosen
const ROWS = 16;

const deviceName = () => state.hardware ?? answer.hardware.name;
const model = () => library.models.find((each) => each.name === state.model);

// Changes of the question

function change(patch, { whole = true, remember = true } = {}) {
  state = Object.fromEntries(Object.entries({ ...state, ...patch }).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  history[remember ? "pushState" : "replaceState"](null, "", written(state));
  if (whole) ask();
  else paint();
}

// What is asked of the server when nothing has been chosen for a while; a choice before that has it forgotten.
function whenQuiet(ask) {
  if (from.alone) ask();
  else waitingForQuiet.push(setTimeout(ask, QUIET_MS));
}

async function ask() {
  const mine = ++asked;
  waitingForQuiet.splice(0).forEach(clearTimeout);
  if (!shownFormula.asked) shownFormula = {};
  byId("verdict").classList.add("stale");
  try {
    const found = await from.shown(state);
    if (mine !== asked) return;
    ({ answer, roof } = found);
    const moved = tape?.key !== keyOfTape();
    problem("");
    paint();
    if (moved) whenQuiet(() => record(mine));
  } catch (failure) {
    if (mine === asked) await refused(failure);
  } finally {
    if (mine === asked) byId("verdict").classList.remove("stale");
  }
}

// What was refused at the start leaves its question to be changed: with the sliders of an answer without its lengths.
async function refused(failure) {
  problem(failure);
  if (answer) return;
  const kept = Object.fromEntries(Object.entries(state).filter(([name]) => !LENGTHS.includes(name)));
  const plain = { ...kept, batch: "1", ...(state.context ? { context: "16" } : {}) };
  const found = await from.shown(plain).catch(() => null);
  if (found && !answer) {
    ({ answer, roof } = found);
    paint();
  } else if (!found) names();
}

// What else than batch and lengths a recording depends on.
function recordedKey() {
  const { model: name, config, gguf, hardware, spec, dtype, engine, context } = state;
  return [name, config, gguf, hardware, spec, dtype, engine, Boolean(context), ...DEGREES.map((degree) => state[degree])];
}

const keyOfTape = () => JSON.stringify([answer?.layout, recordedKey()]);

async function record(mine) {
  const [now, key] = [state, keyOfTape()];
  try {
    const found = await from.tape(now, answer);
    if (mine !== asked) return;
    tape = { found, key };
    paint();
  } catch {
    tape = undefined;  // sliders then ask the server
  }
}

// A slider that moves: from the recording where it holds, at once, and once in a frame however often it moves in it;
// else from the server, when it rests.
let resting;
let moved = false;
function slide(patch) {
  state = { ...state, ...patch };
  moved = painting;
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    if (moved) slide({});
  });
  const point = tape?.key === keyOfTape() && pointOf(state, answer, tape.found);
  try {
    if (!point) throw new Refused();
    answer = played(answer, tape.found, point, roof.bandwidth_bytes_per_s);
    paint({ moving: true });
  } catch {
    clearTimeout(resting);
    resting = setTimeout(ask, 120);
  }
  byId("verdict").classList.toggle("stale", !point);
}

// Which parts are on the screen: while a slider moves the others wait.
const unseen = new Set();
const waiting = new Map();
const watched = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
  if (!isIntersecting) unseen.add(target.id);
  else if (unseen.delete(target.id)) late(target.id);
}), { rootMargin: "40px" });

function late(id) {
  const draw = waiting.get(id);
  waiting.delete(id);
  draw?.();
}

function drawn(id, moving, draw) {
  waiting.set(id, draw);
  if (!moving || !unseen.has(id)) late(id);
}

function problem(failure) {
  const text = failure ? (failure instanceof Refused ? failure.message : `The page failed: ${failure.message ?? failure}`) : "";
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
  document.body.classList.toggle("refused", Boolean(text));  // no answer to another question stays beside a refusal
}

// What is shown

// What a slider moves, and only then the rest, which does not change while it moves.
function paint({ moving = false } = {}) {
  if (!answer) return;
  verdict();
  sliders(moving);
  memory();
  phases(moving);
  if (moving) return;
  fields();
  serving();
  beside();
  same();
  notes();
  document.title = `${answer.model} on ${deviceName()} – roofline`;
}

// What the question names, where one is not typing.
function names() {
  const { device: name } = parted(state.hardware);
  const told = {
    model: state.model ?? answer?.model ?? (state.gguf ? ggufName(state) : "config.json"),
    hardware: from.alone ? state.hardware : name || answer?.hardware.name || "device.yaml",
    dtype: state.dtype ?? "",
  };
  for (const [id, value] of Object.entries(told)) if (document.activeElement !== byId(id)) boxes[id].set(value);
}

function fields() {
  const { count } = parted(state.hardware);
  names();
  byId("dtype").placeholder = answer.inputs.dtype;
  boxes.dtype.fit();
  const counts = [...new Set([1, 2, 4, 8, 16, 32, 64, count])].sort((a, b) => a - b);
  byId("count").disabled = from.alone || Boolean(state.spec);
  show("count", counts.map((each) => h("option", { value: each, selected: each === count }, each === 1 ? "1 ×" : `${each} ×`)));
  show("engine", library.engines.map((each) => h("option", { value: each.name, selected: each.name === answer.engine.name }, each.title)));
}

function tile(name, value, small) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value, small ? h("small", {}, small) : null));
}

const band = (phase) => format.range(phase.low_s, phase.high_s, format.seconds);

function headline() {
  const told = { true: ["good", "It fits."], false: ["bad", "It does not fit."], null: ["", "Its fit is not known."] };
  const [kind, words] = told[String(answer.fits)];
  const { ttft_s: ttft, tpot_s: tpot } = answer;
  const times = ttft !== undefined && tpot !== undefined
    ? `${format.seconds(ttft)} to the first token, then ${format.seconds(tpot)} per token.`
    : tpot !== undefined ? `${format.seconds(tpot)} for a token.` : `${format.seconds(answer.request_s)} for the batch.`;
  return [h("span", { class: kind }, words), ` ${answer.fits === false ? `If it did: ${times}` : times}`];
}

function verdict() {
  const { memory: held, phases: steps } = answer;
  show("verdict-title", headline());
  const binds = Object.entries(steps).map(([name, phase]) => `${name} is bound by ${phase.bound_by} (${format.percent(phase.shares[phase.bound_by])} of its time)`);
  const whole = binds.join(", ");
  show("verdict-more", `${whole[0].toUpperCase()}${whole.slice(1)}.`);
  const price = priced(roof, state.price);
  const cost = usdPerMtok(answer, price);
  const context = held.max_context ? `context up to ${format.whole(held.max_context)}` : "";
  const most = answer.fits === false ? "" : held.max_batch !== null && held.max_batch !== undefined ? `up to ${format.whole(held.max_batch)} sequences` : context;
  show("tiles",
    answer.ttft_s === undefined ? null : tile("Time to first token", format.seconds(answer.ttft_s), steps.prefill ? band(steps.prefill) : null),
    answer.tpot_s === undefined ? null : tile("Time per output token", format.seconds(answer.tpot_s), band(steps.decode)),
    answer.ttft_s === undefined && answer.tpot_s === undefined ? tile("Time of a pass", format.seconds(answer.request_s), band(Object.values(steps)[0])) : null,
    tile("Throughput", format.perS(answer.tokens_per_s), `tokens, ${answer.inputs.batch === 1 ? "one sequence" : `${format.whole(answer.inputs.batch)} sequences`}`),
    tile("Memory", format.bytes(held.total_bytes), held.capacity_bytes ? `of ${format.bytes(held.capacity_bytes)}${most ? `; ${most}` : ""}` : most),
    tile("A million tokens", format.usd(cost), price === null ? "no price is known: set one" : `at $${price.toFixed(2)} a device-hour, never idle, at this batch`));
  const constants = { calibrated: "Constants fitted to timings of this device", class: "Constants of its class of devices: this one was not timed", published: "Constants from published measurements", datasheet: "The data sheet alone: a lower bound" };
  show("sure", `${constants[answer.provenance] ?? answer.provenance}; ranges: ${answer.band.evidence}. ${answer.engine.title} ${answer.engine.version}${layoutWords()}.`);
  remedies();
}

function layoutWords() {
  const split = Object.entries(answer.layout ?? {}).filter(([, degree]) => degree > 1).map(([name, degree]) => `${name} ${degree}`);
  return split.length ? `, ${split.join(" × ")}` : "";
}

function remedies() {
  const { overflow } = answer;
  const { device: name } = parted(state.hardware);
  const found = [];
  if (overflow?.dtype) found.push([`In ${overflow.dtype.name}: ${format.bytes(overflow.dtype.bytes)}`, { dtype: overflow.dtype.name }]);
  if (overflow?.devices && !state.spec) found.push([`On ${overflow.devices.count} devices: ${format.bytes(overflow.devices.bytes)} each`, { hardware: joined(overflow.devices.count, name) }]);
  show("remedies", found.map(([words, patch]) => h("button", { type: "button", onclick: () => change(patch) }, words)));
}

// USD for an hour of a device: one's own price, else that of its specification.
const priced = (over, own) => (own ? Number(own) : over.usd_per_h);

const LONGEST = 1048576;

const LETTERS = {
  batch: { title: "Batch", unit: "sequences", low: 1, high: () => 1024 },
  prompt: { title: "Prompt", unit: "tokens", low: 16, high: () => model()?.positions ?? 131072 },
  generate: { title: "Answer", unit: "tokens", low: 2, high: () => Math.min(16384, model()?.positions ?? 16384) },
  context: { title: "Context", unit: "tokens", low: 16, high: () => model()?.positions ?? 131072 },
};

function slid(name) {
  const { title, unit, low, high } = LETTERS[name];
  const value = Number(state[name] ?? answer.inputs[name]);
  return slider({ name, title, unit, low, most: Math.min(high(), LONGEST), value }, (moved) => slide({ [name]: moved }), (chosen) => change({ [name]: chosen }));
}

function priceField() {
  const existing = byId("price");
  const price = priced(roof, state.price);
  if (existing) {
    if (document.activeElement !== existing) existing.value = price ?? "";
    return existing.closest(".slider");
  }
  const number = h("input", { type: "number", id: "price", min: 0, step: 0.01, placeholder: "–", onchange: (event) => change({ price: event.target.value }, { whole: false }) });
  number.value = price ?? "";
  return h("div", { class: "slider" }, h("label", { for: "price" }, "Price ", h("small", {}, "USD per device-hour")), number);
}

function sliders(moving) {
  const step = answer.inputs.context !== null && answer.inputs.context !== undefined;
  const names = ["batch", ...(step ? ["context"] : ["prompt", "generate"])].filter((name) => answer.inputs[name] !== null && answer.inputs[name] !== undefined);
  const moves = !["encoder", "vision"].includes(model()?.kind);
  const kept = names.filter((name) => moves || (name !== "generate" && !(name === "prompt" && model()?.kind === "vision")));
  const wanted = [...kept.map(slid), priceField()];
  const holder = byId("sliders");
  if (wanted.length !== holder.children.length || wanted.some((each, place) => each !== holder.children[place])) holder.replaceChildren(...wanted);
  if (moving) return;
  const modes = moves ? [["request", "A request", !step], ["step", "One decode step", step]] : [];
  show("modes", modes.map(([name, title, on]) => h("button", { type: "button", "aria-pressed": String(on), onclick: () => change(name === "step" ? { context: String(answer.inputs.prompt ?? 2048), prompt: "", generate: "", show: "" } : { context: "" }) }, title)));
  degrees();
}

const NAMES = { tp: "Tensor parallel", pp: "Pipeline stages", dp: "Replicas", ep: "Expert parallel" };

function degrees() {
  byId("layout-details").hidden = answer.hardware.count === 1 || from.alone;
  byId("own-details").hidden = from.alone;
  if (byId("degrees").contains(document.activeElement)) return;
  show("degrees", Object.keys(NAMES).map((name) => {
    const input = h("input", { type: "number", min: 1, id: `degree-${name}`, placeholder: answer.layout?.[name] ?? "1", onchange: (event) => change({ [name]: event.target.value }) });
    input.value = state[name] ?? "";
    return [h("label", { for: `degree-${name}` }, NAMES[name]), input];
  }).flat(), h("p", { class: "hint" }, answer.chosen ? `The best of ${answer.chosen.tried} layouts; a number fixes a degree.` : "Empty fields are searched."));
}

const PARTS = [["weights", "Weights", "weights_bytes"], ["cache", "KV cache", "kv_cache_bytes"], ["activations", "Activations", "activation_bytes"], ["states", "States", "state_bytes"], ["overhead", "Kept by the runtime", "overhead_bytes"]];

function memory() {
  const { memory: held } = answer;
  const capacity = held.capacity_bytes;
  const whole = Math.max(capacity ?? 0, held.total_bytes);
  const there = PARTS.filter(([, , name]) => held[name] > 0);
  const spans = there.map(([kind, title, name]) => {
    const part = h("span", { class: kind, title: `${title}: ${format.bytes(held[name])}` });
    part.style.width = `${(100 * held[name]) / whole}%`;
    return part;
  });
  const line = capacity ? h("div", { class: capacity < whole / 3 ? "capacity early" : "capacity" }, h("b", {}, `${format.bytes(capacity)} there`)) : null;
  if (line) line.style.left = `calc(${(100 * capacity) / whole}% - 2px)`;
  const words = there.map(([, title, name]) => `${title} ${format.bytes(held[name])}`).join(", ");
  show("memory",
    h("div", { class: "barwrap" }, h("div", { class: "bar", role: "img", "aria-label": `${words}, of ${format.bytes(capacity)}` }, spans), line),
    h("ul", { class: "parts" }, there.map(([kind, title, name]) => h("li", {}, h("i", { class: kind }), title, h("b", {}, format.bytes(held[name]))))));
}

let width = 900;  // of the roofline: asked for when it changes, as asking lays the page out

function phases(moving) {
  const names = Object.keys(answer.phases);
  const name = names.includes(state.show) ? state.show : names.at(-1);
  const phase = answer.phases[name];
  show("phases", names.length > 1 ? names.map((each) => h("button", { type: "button", "aria-pressed": String(each === name), onclick: () => change({ show: each, op: "" }, { whole: false }) }, each[0].toUpperCase() + each.slice(1))) : []);
  show("phase-line", `One ${name} step on ${roof.name}: ${format.seconds(phase.time_s)}, MFU ${format.percent(phase.mfu)}, MBU ${format.percent(phase.mbu)}.`);
  const choose = (op) => change({ op, show: name }, { whole: false });
  const title = `Roofline of ${name}: operators by arithmetic intensity and FLOP/s under the roofs of ${roof.name}`;
  const height = Math.round(Math.min(430, Math.max(300, width * 0.46)));
  drawn("roofline", moving, () => show("roofline", roofline(phase, roof, { width, height, chosen: state.op, choose, title })));
  drawn("regimes-card", moving, () => map(name));
  drawn("operators", moving, () => operators(phase, choose));
  drawn("formula", moving, () => formula(name, phase));
}

// The map is of the recording, and stays while batch and length move: only its cross does.
let drawnMap = {};

async function map(name) {
  const recorded = tape?.key === keyOfTape() ? tape.found : undefined;
  const by = ["context", "prompt"].find((each) => recorded?.letter(each));
  if (!recorded || !recorded.letter("batch") || !by) {
    byId("regimes-card").hidden = true;
    return;
  }
  const point = pointOf(state, answer, recorded);
  const key = JSON.stringify([tape.key, name, { ...point, batch: 0, [by]: 0 }]);
  if (drawnMap.key !== key) {
    const most = (letter) => Math.min(LETTERS[letter].high(), recorded.letter(letter).high, LONGEST);
    const [batches, lengths] = [scale(1, most("batch")), scale(Math.min(16, most(by)), most(by))];
    drawnMap = { key, batches, lengths };
    const cells = await mapped(recorded, name, by, batches, lengths, point, () => drawnMap.key === key);
    if (!cells) return;
    const held = 1 + cells.findLastIndex((row) => row.some(Boolean));  // longer prompts are not on the recording
    Object.assign(drawnMap, { lengths: lengths.slice(0, held), cells: cells.slice(0, held) });
  }
  byId("regimes-card").hidden = !(drawnMap.cells?.length > 1);
  if (drawnMap.cells?.length > 1) crossed(name, by, pointOf(state, answer, recorded));
}

function crossed(name, by, point) {
  const { batches, lengths, cells } = drawnMap;
  const title = `${name} over batch and ${by}: at batch ${format.whole(point.batch)} and ${format.whole(point[by])} tokens it is bound by ${answer.phases[name].bound_by}`;
  show("regimes-line", `One ${name} step on ${roof.name}, in the layout shown. The cross is where you stand; a click moves there.`);
  show("regimes", regimes(cells, { batches, lengths, batch: point.batch, length: point[by], axis: by, title, width, height: Math.round(Math.min(340, Math.max(260, width * 0.38))), choose: (batch, length) => change({ batch: String(batch), [by]: String(length) }) }));
}

function operators(phase, choose) {
  const focused = document.activeElement?.dataset?.kept;
  const order = (sort) => change({ sort }, { whole: false });
  const all = () => change({ rows: "all" }, { whole: false });
  show("operators", table(phase, { sort: state.sort, chosen: state.op, most: state.rows ? Infinity : ROWS, choose, order, all }));
  if (focused) byId("operators").querySelector(`[data-kept="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

const UNSTATED = ["host", "collective", "pipeline"];  // kinds of operators that no model states
const NO_FORMULA = "No formula in letters: it is no operator of the model's statement.";

// The numbers at once, the letters when they are there: those of another model when nothing is chosen for a while.
function formula(name, phase) {
  const op = phase.operators.find((each) => each.name === state.op) ?? [...phase.operators].sort((a, b) => b.time_s - a.time_s)[0];
  const [subject, key] = [recordedKey(), JSON.stringify([recordedKey(), name, op.name])];
  numbers(op);
  if (key === shownFormula.key) return;
  const same = JSON.stringify(subject) === JSON.stringify(shownFormula.subject);
  shownFormula = { key, subject, asked: UNSTATED.includes(op.kind) };
  if (shownFormula.asked) show("formula-letters", h("p", { class: "hint" }, NO_FORMULA));
  else if (same) letters(key, name, op.name);
  else whenQuiet(() => letters(key, name, op.name));
}

async function letters(key, name, op) {
  shownFormula.asked = true;
  let found;
  try {
    found = typeset(await from.operator(state, answer, name, op));
  } catch (failure) {
    found = h("p", { class: "hint" }, failure instanceof Refused ? failure.message : NO_FORMULA);
  }
  if (key === shownFormula.key) show("formula-letters", found);
}

function numbers(op) {
  if (!byId("formula-letters")) show("formula", h("p", { id: "formula-name", class: "hint" }), h("div", { id: "formula-letters" }));
  const parts = [`${format.seconds(op.time_s)} (${band(op)})`, op.flops ? format.flops(op.flops) : null, format.bytes(op.bytes), op.intensity ? `${format.plain(op.intensity)} FLOP/B` : null];
  show("formula-name", h("b", {}, op.name), op.count > 1 ? `, ${op.count} times in a step: ` : ": ", parts.filter(Boolean).join(", "), `, ${format.percent(op.time_s ? op.bound_s / op.time_s : 0)} of its roof.`);
}

// Continuous batching: what so many requests in flight get, from a list of them that is asked for when one looks.

let flights = {};  // of one question

async function serving() {
  const asksIt = !from.alone && answer.inputs.generate > 1 && "ttft_s" in answer;
  byId("serving-card").hidden = !asksIt;
  if (!asksIt || !byId("serving-details").open) return;
  const key = JSON.stringify([recordedKey(), answer.inputs.prompt, answer.inputs.generate]);
  if (flights.key !== key) {
    flights = { key };
    try {
      const found = await from.serving(state, answer);
      if (flights.key !== key) return;
      flights.found = found;
    } catch (failure) {
      if (flights.key === key) flown(failure.message);
      return;
    }
  }
  if (flights.found) flown();
}

function flown(refusal) {
  if (refusal) {
    show("serving-slider");
    show("serving-tiles");
    show("serving-line", refusal);
    return;
  }
  const { rows, devices } = flights.found;
  const most = rows.at(-1).concurrency;
  const wanted = Math.min(most, Number(state.concurrency ?? 16));
  const row = rows[nearest(rows.map((each) => each.concurrency), wanted)];
  const moved = (value) => { state = { ...state, concurrency: value }; flown(); };
  const field = slider({ name: "concurrency", title: "Requests", unit: "in flight", low: 1, most, value: row.concurrency }, moved, (value) => change({ concurrency: value }, { whole: false }));
  if (field !== byId("serving-slider").firstChild) show("serving-slider", field);
  if (row.tpot_s === undefined) {
    show("serving-tiles");
    show("serving-line", `No layout takes in the prompts of ${format.whole(row.concurrency)} requests in flight.`);
    return;
  }
  const price = priced(roof, state.price);
  const cost = price === null ? null : (price * devices) / (row.tokens_per_s * 3600) * 1e6;
  show("serving-line", row.fits === false ? "These do not fit: the engine would make some wait. " : "", `Means of continuous batching at a steady load, each request of ${format.whole(answer.inputs.prompt)} tokens in and ${format.whole(answer.inputs.generate)} out; ${row.layout}.`);
  show("serving-tiles",
    tile("Time to first token", format.seconds(row.ttft_s), format.range(row.ttft_low_s, row.ttft_high_s, format.seconds)),
    tile("Time per output token", format.seconds(row.tpot_s), format.range(row.tpot_low_s, row.tpot_high_s, format.seconds)),
    tile("Throughput", format.perS(row.tokens_per_s), `output tokens, ${format.plain(row.requests_per_s)} requests a second`),
    tile("Memory", format.bytes(row.total_bytes), row.fits === false ? "does not fit" : "of the fullest device"),
    tile("A million tokens", format.usd(cost), price === null ? "no price is known: set one" : "of output, never idle"));
}

// Other hardware beside this one, for the same workload.

let compared = "";
async function beside() {
  const others = also(state);
  const key = JSON.stringify([others, recordedKey(), state.batch, state.prompt, state.generate, state.context, state.price]);
  const own = { hardware: deviceName(), found: { answer, roof } };
  if (key !== compared) {
    compared = key;
    besideTable([own, ...others.map((hardware) => ({ hardware }))]);
    const rows = await Promise.all(others.map(async (hardware) => {
      try {
        return { hardware, found: await from.shown({ ...state, hardware, spec: "", ...SEARCHED }) };
      } catch (failure) {
        return { hardware, refused: failure.message };
      }
    }));
    if (key === compared) besideTable([own, ...rows]);
  }
}

function besideRow({ hardware, found, refused }, place) {
  const remove = place ? h("button", { type: "button", class: "plain", "aria-label": `Leave out ${hardware}`, onclick: () => change({ also: also(state).filter((each) => each !== hardware).join(",") }, { whole: false }) }, "×") : "";
  if (!found) return h("tr", {}, h("th", { scope: "row" }, hardware), h("td", { colspan: 5, class: "hint" }, refused ?? "…"), h("td", {}, remove));
  const each = found.answer;
  const cost = usdPerMtok(each, priced(found.roof, place ? "" : state.price));
  const cell = (value, phase) => h("td", { class: "numeric" }, value === undefined ? "–" : format.seconds(value), phase ? h("span", { class: "band" }, band(phase)) : null);
  return h("tr", {}, h("th", { scope: "row" }, hardware), h("td", {}, each.fits === false ? "no" : each.fits ? "yes" : "?", h("span", { class: "band" }, `${format.bytes(each.memory.total_bytes)} of ${format.bytes(each.memory.capacity_bytes)}`)),
    cell(each.ttft_s, each.phases.prefill), cell(each.tpot_s, each.phases.decode), h("td", { class: "numeric" }, format.perS(each.tokens_per_s)), h("td", { class: "numeric" }, format.usd(cost)), h("td", {}, remove));
}

function besideTable(rows) {
  if (rows.length === 1) {
    show("beside", h("p", { class: "hint" }, "Add up to three devices, counts or boxes to see the same workload on each."));
    return;
  }
  const titles = ["Hardware", "Fits", "First token", "Each token", "Tokens", "Per million", h("span", { class: "unseen" }, "Leave out")];
  show("beside", h("table", {}, h("thead", {}, h("tr", {}, titles.map((each, place) => h("th", { scope: "col", class: place > 1 ? "numeric" : null }, each)))), h("tbody", {}, rows.map(besideRow))));
}

function copied(button, text) {
  navigator.clipboard?.writeText(text).then(() => {
    const words = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, 1200);
  });
}

function same() {
  const block = (text) => h("div", { class: "code" }, h("pre", {}, text), h("button", { type: "button", onclick: (event) => copied(event.target, text) }, "Copy"));
  show("same", block(command(state, answer.layout)), block(python(state, answer.layout)));
  show("exports",
    h("button", { type: "button", onclick: () => files.json(answer) }, "JSON"),
    h("button", { type: "button", onclick: () => files.csv(answer) }, "CSV"),
    h("button", { type: "button", onclick: () => files.picture(answer, byId("roofline").querySelector("svg")) }, "SVG"),
    h("button", { type: "button", onclick: () => files.bitmap(answer, byId("roofline").querySelector("svg")).catch(problem) }, "PNG"));
}

function notes() {
  byId("notes-card").hidden = !answer.notes.length;
  show("notes", answer.notes.map((each) => h("li", {}, each)));
  show("version", `roofline ${answer.version}. Times are predictions; ranges say how far such predictions were off.`);
}

// The start

function lists() {
  const sized = (each) => ({ value: each.name, more: `${format.parameters(each.parameters)} parameters` });
  const told = (each) => ({ value: each.name, title: each.title, more: each.capacity_bytes ? format.bytes(each.capacity_bytes) : each.vendor });
  const free = !from.alone;
  boxes.model = new Combobox(byId("model"), { chosen: (name) => change({ model: name, config: "", gguf: "", op: "", ...(from.alone ? {} : { dtype: "", engine: "" }), ...fitting(name) }) });
  boxes.model.items = library.models.map(sized);
  boxes.hardware = new Combobox(byId("hardware"), { chosen: (name) => change({ hardware: from.alone ? name : joined(parted(state.hardware).count, name), spec: "", engine: "", price: "", ...SEARCHED }) });
  const systems = library.systems.map((each) => ({ value: each.name, title: each.title, more: `${each.count} devices` }));
  boxes.hardware.items = [...library.hardware.map(told), ...systems];
  boxes.dtype = new Combobox(byId("dtype"), { chosen: (name) => change({ dtype: name }), free });
  boxes.dtype.items = [...(library.dtypes.length && from.alone ? [] : [{ value: "", label: "its own format", more: "as it is stored" }]), ...library.dtypes.map((value) => ({ value }))];
  boxes.add = new Combobox(byId("add"), { chosen: (name) => { boxes.add.set(""); if (name) change({ also: [...new Set([...also(state), name])].slice(0, 3).join(",") }, { whole: false }); }, free });
  boxes.add.items = [...boxes.hardware.items];
  boxes.add.fit = () => {};
  byId("count").addEventListener("change", (event) => change({ hardware: joined(Number(event.target.value), parted(state.hardware).device), ...SEARCHED }));
  byId("engine").addEventListener("change", (event) => change({ engine: event.target.value }));
  byId("engine").disabled = from.alone;
  byId("question").addEventListener("submit", (event) => event.preventDefault());
  byId("copy-link").addEventListener("click", (event) => copied(event.target, location.href));
}

// Lengths that a model cannot take are those of its own.
function fitting(name) {
  const next = library.models.find((each) => each.name === name);
  const lone = ["encoder", "vision"].includes(next.kind);
  const long = ["prompt", "generate", "context"].some((each) => Number(state[each] ?? 0) > next.positions);
  return lone || long ? { prompt: "", generate: "", context: "" } : {};
}

const LARGEST = 32768;  // bytes of what is one's own and goes to the server in the question
const OWN_MODEL = { model: "", config: "", gguf: "", op: "", dtype: "", prompt: "", generate: "", context: "" };
const OWN_DEVICE = { hardware: "", engine: "", price: "", ...SEARCHED };

// What files of one's own change in the question: a model, or a device. Throws what is wrong with them.
async function owned(files) {
  const [file] = files;
  if (/\.gguf$/i.test(file.name)) return { ...OWN_MODEL, gguf: short(file.name, JSON.stringify(await header(files))) };
  if (file.size > LARGEST) throw new Refused(`${file.name}: ${format.whole(file.size)} bytes, expected at most ${format.whole(LARGEST)}`);
  const text = await file.text();
  if (/\.ya?ml$/i.test(file.name)) return { ...OWN_DEVICE, spec: text };
  try {
    return { ...OWN_MODEL, config: JSON.stringify(JSON.parse(text)) };
  } catch {
    throw new Refused(`${file.name}: expected a GGUF file, the JSON of a config.json, or the YAML of a device`);
  }
}

function short(name, text) {
  if (text.length <= LARGEST) return text;
  throw new Refused(`${name}: its header is ${format.whole(text.length)} letters, expected at most ${format.whole(LARGEST)}`);
}

async function own(files) {
  if (!files.length) return;
  try {
    change(await owned([...files]));
  } catch (failure) {
    problem(failure instanceof GgufError ? new Refused(`${files[0].name}: not a whole GGUF file: ${failure.message}`) : failure);
  }
}

function opening() {
  byId("serving-details").open = Boolean(state.concurrency);
  byId("serving-details").addEventListener("toggle", serving);
}

function dropping() {
  byId("own").addEventListener("change", (event) => own(event.target.files));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("dropping"); if (!from.alone) own(event.dataTransfer.files); });
}

async function start() {
  from = await source();
  state = read(location.hash);
  const first = from.alone ? null : from.shown(state).catch(() => null);
  library = await from.library();
  if (from.alone && !location.hash) state = { ...state, ...library.first };
  await first;
  lists();
  dropping();
  opening();
  window.addEventListener("popstate", () => { state = read(location.hash); ask(); });
  for (const id of ["roofline", "regimes-card", "operators", "formula"]) watched.observe(byId(id));
  new ResizeObserver(([{ contentRect }]) => {
    const found = Math.max(340, Math.round(contentRect.width));
    if (found === width) return;
    width = found;
    requestAnimationFrame(() => paint());
  }).observe(byId("roofline"));
  await ask();
}

window.addEventListener("error", (event) => problem(event.error ?? event.message));
window.addEventListener("unhandledrejection", (event) => problem(event.reason));
start();
