// The lesson: a matmul and attention on one roofline, moved by the batch.

import * as format from "./format.js";
import { byId, h, show } from "./dom.js";
import { read, written } from "./state.js";
import { played } from "./answer.js";
import { pointOf, source } from "./source.js";
import { TapeError } from "./tape.js";
import { intensityAt, roofline } from "./roofline.js";
import { batchAt, intensities } from "./intensity.js";
import { typeset } from "./formula.js";
import { nearest, scale, slider } from "./slider.js";

const BATCHES = scale(1, 1024);
const EVERY = 65536;

let from;
let library;
let state;
let answer;
let roof;
let tape;
let asked = 0;
let width = 900;

// What is shown

const phases = () => Object.keys(answer.phases).filter((each) => !["encode", "listen"].includes(each));
const phaseName = () => (phases().includes(state.show) ? state.show : phases().at(-1));
const at = (more) => played(answer, tape, { ...pointOf(state, answer, tape), ...more }, roof.bandwidth_bytes_per_s);
const ridge = () => roof.peaks[0].flops_per_s / roof.bandwidth_bytes_per_s;

// The one of a kind with the most FLOPs at any batch, in the layers if it is there, by its place in the phase.
function largest(kind) {
  const { operators } = answer.phases[phaseName()];
  const own = operators.filter((each) => each.kind === kind && each.flops > 0);
  const inLayers = own.filter((each) => each.count > 1);
  return operators.indexOf((inLayers.length ? inLayers : own).reduce((most, each) => (each.flops > most.flops ? each : most)));
}

// A figure of an operator elsewhere; null where the recording does not hold.
function elsewhere(more, figure) {
  try {
    return figure(at(more).phases[phaseName()]);
  } catch (failure) {
    if (failure instanceof TapeError) return null;
    throw failure;
  }
}

const intensity = (place, more) => elsewhere(more, (phase) => phase.operators[place].intensity);

// The least batch at which an operator reaches the ridge; null if it never does.
function reaches(place) {
  const reached = (batch) => (intensity(place, { batch }) ?? 0) >= ridge();
  if (!reached(EVERY)) return null;
  let [low, high] = [0, EVERY];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (reached(middle)) high = middle;
    else low = middle;
  }
  return high;
}

const sequences = (batch) => (batch === null ? "never" : batch === 1 ? "at every batch" : `from ${format.whole(batch)} sequences on`);

let curves = {};  // of one question, at any batch

function drawnCurves(matmul, attention) {
  const point = pointOf(state, answer, tape);
  const key = JSON.stringify([state.model, state.hardware, state.dtype, phaseName(), matmul, attention, { ...point, batch: 0 }]);
  if (curves.key !== key) {
    const values = (place) => BATCHES.map((batch) => intensity(place, { batch }));
    const reached = [matmul, attention].map(reaches);
    curves = { key, of: [values(matmul), values(attention)], reached };
  }
  return curves;
}

function paint() {
  try {
    answer = at({});
  } catch (failure) {
    problem(failure);
    return;
  }
  const name = phaseName();
  const phase = answer.phases[name];
  const [matmul, attention] = [largest("matmul"), largest("attention")];
  const [one, other] = [phase.operators[matmul], phase.operators[attention]];
  const { of, reached } = drawnCurves(matmul, attention);
  const { batch } = answer.inputs;
  show("sliders", slider({ name: "batch", title: "Batch", unit: "sequences", low: 1, most: 1024, value: batch }, move, keep));
  show("reading",
    "With ", h("b", {}, batch === 1 ? "one sequence" : `${format.whole(batch)} sequences`), " ", h("b", {}, one.name), " does ", h("b", {}, `${format.plain(one.intensity)} FLOP/B`), `, bound by ${one.bound_by}; `,
    h("b", {}, other.name), " ", h("b", {}, `${format.plain(other.intensity)} FLOP/B`), `, bound by ${other.bound_by}. The ridge of ${roof.name} in ${roof.peaks[0].dtype} is ${format.plain(ridge())} FLOP/B. `,
    `${one.name} reaches it ${sequences(reached[0])}, attention ${sequences(reached[1])}.`);
  const height = Math.round(Math.min(430, Math.max(300, width * 0.46)));
  show("roofline", roofline(phase, roof, { width, height, chosen: one.name, title: `Roofline of ${name}: operators by arithmetic intensity and FLOP/s under the roofs of ${roof.name}` }));
  const near = BATCHES[nearest(BATCHES, batch)];
  show("curves", intensities({
    batches: BATCHES, batch: near, ridge: ridge(), width, height: Math.round(height * 0.8),
    curves: [{ name: one.name, kind: "compute", values: of[0] }, { name: other.name, kind: "memory", values: of[1] }],
    title: `Arithmetic intensity over the batch: ${one.name} ${format.plain(one.intensity)} and attention ${format.plain(other.intensity)} FLOP/B at batch ${batch}`,
  }));
  exercises(matmul, attention, reached);
  document.title = `${answer.model}: arithmetic intensity – roofline`;
}

function exercises(matmul, attention, reached) {
  const { operators } = answer.phases[phaseName()];
  const point = pointOf(state, answer, tape);
  const halved = Math.max(2, Math.floor(point.prompt / 2));
  const [alone, sixteen] = [1, 16].map((batch) => elsewhere({ batch }, (phase) => phase.time_s));
  const own = [
    ["From which batch on does the matmul reach the ridge, and from which attention?", `${operators[matmul].name} ${sequences(reached[0])}, attention ${sequences(reached[1])}. Weights are read once for the whole batch; each sequence brings keys and values of its own.`],
    [`Attention has ${format.plain(operators[attention].intensity)} FLOP/B at a prompt of ${format.whole(point.prompt)}. And at half of it?`, `${format.plain(intensity(attention, { prompt: halved }))} FLOP/B at ${format.whole(halved)} tokens.`],
    ["How much longer does a step of sixteen sequences take than one of a single sequence?", alone && sixteen ? `${format.seconds(sixteen)} instead of ${format.seconds(alone)}: ${format.plain(sixteen / alone)} times as long for 16 times the tokens.` : "The recording does not hold there."],
  ];
  const open = [...byId("exercises").querySelectorAll("details")].map((each) => each.open);
  show("exercises", h("ol", {}, own.map(([question, told], place) => h("li", {}, h("p", {}, question), h("details", { open: open[place] }, h("summary", {}, "Answer"), h("p", {}, told))))));
}

async function letters() {
  const name = phaseName();
  const mine = asked;
  const operators = [largest("matmul"), largest("attention")].map((place) => answer.phases[name].operators[place].name);
  const found = await Promise.all(operators.map((op) => from.operator(state, answer, name, op)));
  if (mine === asked) show("formula", found.map((each, place) => h("div", {}, h("h3", {}, operators[place]), typeset(each))));
}

function fields() {
  const chosen = (names, value) => [...new Set([value, ...names])].map((each) => h("option", { value: each, selected: each === value }, each));
  show("phase", chosen(phases(), phaseName()));
  show("model", chosen(library.models.filter((each) => !["encoder", "vision"].includes(each.kind)).map((each) => each.name), state.model));
  show("hardware", chosen(library.hardware.map((each) => each.name), state.hardware));
  show("version", `roofline ${answer.version}. Times are predictions; intensities are counted.`);
}

function problem(failure) {
  byId("problem").textContent = failure ? failure.message ?? String(failure) : "";
  byId("problem").hidden = !failure;
}

// What changes it

async function ask() {
  const mine = ++asked;
  try {
    const found = await from.shown(state);
    const recording = await from.tape(state, found.answer);
    if (mine !== asked) return;
    ({ answer, roof } = found);
    tape = recording;
    problem(null);
    fields();
    paint();
    await letters();
  } catch (failure) {
    if (mine === asked) problem(failure);
  }
}

function move(batch) {
  state = { ...state, batch };
  paint();
}

function keep(batch) {
  history.replaceState(null, "", written({ ...state, batch }));
  move(batch);
}

function choose(patch) {
  state = { ...state, ...patch };
  history.pushState(null, "", written(state));
  ask();
}

// Of a picture the batch at a place from the left, until the pointer is lifted.
function dragged(id, batchOf) {
  const picture = byId(id);
  const told = (event) => {
    const box = picture.querySelector("svg").getBoundingClientRect();
    return String(batchOf(((event.clientX - box.left) * width) / box.width));
  };
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    move(told(event));
  });
  picture.addEventListener("pointermove", (event) => picture.hasPointerCapture(event.pointerId) && move(told(event)));
  picture.addEventListener("lostpointercapture", () => keep(state.batch));
}

// The batch at which the matmul has the intensity of a place.
function batchOfMatmul(x) {
  const wanted = Math.log(intensityAt(x, roof, width));
  const far = (place) => (curves.of[0][place] > 0 ? Math.abs(Math.log(curves.of[0][place]) - wanted) : Infinity);
  return BATCHES[BATCHES.reduce((best, _, place) => (far(place) < far(best) ? place : best), 0)];
}

async function start() {
  from = await source();
  library = await from.library();
  state = read(location.hash);
  if (from.alone && !location.hash) state = { ...state, ...library.first };
  for (const name of ["model", "hardware"]) byId(name).addEventListener("change", (event) => choose({ [name]: event.target.value }));
  byId("phase").addEventListener("change", (event) => choose({ show: event.target.value }));
  byId("question").addEventListener("submit", (event) => event.preventDefault());
  dragged("roofline", batchOfMatmul);
  dragged("curves", (x) => batchAt(x, BATCHES, width));
  window.addEventListener("popstate", () => { state = read(location.hash); ask(); });
  new ResizeObserver(([{ contentRect }]) => {
    const found = Math.max(340, Math.round(contentRect.width));
    if (found === width) return;
    width = found;
    if (tape) requestAnimationFrame(paint);
  }).observe(byId("roofline"));
  await ask();
}

window.addEventListener("error", (event) => problem(event.error ?? event.message));
window.addEventListener("unhandledrejection", (event) => problem(event.reason));
start();
