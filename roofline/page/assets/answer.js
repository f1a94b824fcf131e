// An answer of predict with other numbers: what its tape plays at another batch and other lengths.

const PARTS = ["latency", "compute", "memory", "link"];

function sharesOf(timed) {
  const [compute, memory, link] = PARTS.slice(1).map((part) => (timed.time_s > 0 ? timed[`${part}_s`] / timed.time_s : 0));
  return { latency: Math.max(0, 1 - compute - memory - link), compute, memory, link };
}

const largest = (shares) => PARTS.reduce((most, part) => (shares[part] > shares[most] ? part : most), PARTS[0]);

export const boundBy = (timed) => largest(sharesOf(timed));

function figures(timed) {
  const shares = sharesOf(timed);
  const bound_by = largest(shares);
  const { time_s, bound_s, low_s, high_s, flops, vector_flops, bytes, mfu, mbu, link_bytes } = timed;
  const intensity = bytes ? flops / bytes : null;
  return { time_s, bound_s, low_s, high_s, shares, flops, vector_flops, bytes, mfu, mbu, link_bytes, bound_by, intensity };
}

// An operator as often as it runs, from what one execution takes.
function operator(told, { count, ...one }, bandwidth) {
  const { name, kind, form } = told;
  const timed = Object.fromEntries(Object.entries(one).map(([key, value]) => [key, count * value]));
  const alone = kind !== "pipeline" && timed.time_s > 0;
  const mfu = alone ? timed.peak_s / timed.time_s : 0;
  const mbu = alone ? timed.bytes / (timed.time_s * bandwidth) : 0;
  return { name, kind, count, ...(form ? { form } : {}), ...figures({ ...timed, mfu, mbu }) };
}

const ADDED = ["time_s", "bound_s", "low_s", "high_s", "compute_s", "memory_s", "link_s", "flops", "vector_flops", "bytes", "link_bytes", "peak_s"];

function phase(name, told, tape, { steps, stages, bandwidth }) {
  const operators = tape.operators(name).map((each, place) => operator(told.operators[place], each, bandwidth));
  const timed = Object.fromEntries(ADDED.map((key) => [key, tape.total(name, key)]));
  const own = figures({ ...timed, mfu: timed.peak_s / stages / timed.time_s, mbu: timed.bytes / bandwidth / stages / timed.time_s });
  const devices = told.bytes ? Math.round(told.total_bytes / told.bytes) : 1;
  return { steps, ...own, total_flops: devices * own.flops, total_bytes: devices * own.bytes, operators };
}

const MEMORY = ["weights_bytes", "kv_cache_bytes", "activation_bytes", "state_bytes", "total_bytes"];
const KEPT = [
  ...["schema_version", "version", "model", "engine", "hardware", "system", "layout", "overlap", "chosen", "inputs"],
  ...["parameters", "provenance", "band", "notes", "replicated_parameters", "redundant_experts"],
];

// What is not on the tape is left out: what is made at the start of an engine, what would hold a model that is too large.
// Throws a TapeError where the recording does not hold.
export function played(answer, tape, point, bandwidth) {
  tape.play(point);
  const kept = Object.fromEntries(KEPT.filter((name) => name in answer).map((name) => [name, answer[name]]));
  const phases = {};
  for (const [name, told] of Object.entries(answer.phases)) {
    const steps = name === "decode" && point.generate ? point.generate - 1 : told.steps;
    phases[name] = phase(name, told, tape, { steps, stages: answer.layout?.pp ?? 1, bandwidth });
  }
  const memory = { overhead_bytes: answer.memory.overhead_bytes, capacity_bytes: answer.memory.capacity_bytes };
  for (const name of [...MEMORY, "max_batch"]) if (tape.result(name) !== undefined) memory[name] = tape.result(name);
  const before = ["encode", "listen", "prefill"].filter((name) => name in phases).map((name) => phases[name].time_s);
  const request_s = Object.values(phases).reduce((total, each) => total + each.steps * each.time_s, 0);
  return {
    ...kept,
    inputs: { ...answer.inputs, ...point },
    fits: tape.result("fits") === undefined ? answer.fits : Boolean(tape.result("fits")),
    memory,
    phases,
    request_s,
    ...("ttft_s" in answer ? { ttft_s: before.reduce((total, each) => total + each, 0) } : {}),
    ...("tpot_s" in answer ? { tpot_s: phases.decode.time_s } : {}),
    tokens_per_s: tape.result("tokens") / request_s,
  };
}

// USD for a million tokens at this batch, without a pause; price is of one device and hour.
export function usdPerMtok(answer, price) {
  return price === null ? null : (price * answer.hardware.count) / (answer.tokens_per_s * 3600) * 1e6;
}
