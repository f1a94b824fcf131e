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

// What a tape says of a phase: decode.time_s and so on, and under its own name each operator's.
function ofPhase(results, phase) {
  const start = `${phase}.`;
  const own = Object.entries(results).filter(([name]) => name.startsWith(start));
  return { own: Object.fromEntries(own.map(([name, value]) => [name.slice(start.length), value])), operators: results[phase] };
}

function operator(told, timed, bandwidth) {
  const { name, kind, form } = told;
  const alone = kind !== "pipeline" && timed.time_s > 0;
  const mfu = alone ? timed.peak_s / timed.time_s : 0;
  const mbu = alone ? timed.bytes / (timed.time_s * bandwidth) : 0;
  return { name, kind, count: timed.count, ...(form ? { form } : {}), ...figures({ ...timed, mfu, mbu }) };
}

function phase(told, found, steps, bandwidth) {
  const operators = told.operators.map((each, place) => operator(each, found.operators[place], bandwidth));
  const sum = (name) => operators.reduce((total, each) => total + each[name], 0);
  const own = figures({ ...found.own, vector_flops: sum("vector_flops"), link_bytes: sum("link_bytes") });
  const devices = told.bytes ? Math.round(told.total_bytes / told.bytes) : 1;
  return { steps, ...own, total_flops: devices * own.flops, total_bytes: devices * own.bytes, operators };
}

const MEMORY = ["weights_bytes", "kv_cache_bytes", "activation_bytes", "state_bytes", "total_bytes"];
const KEPT = [
  ...["schema_version", "version", "model", "engine", "hardware", "system", "layout", "overlap", "chosen", "inputs"],
  ...["parameters", "provenance", "band", "notes", "replicated_parameters", "redundant_experts"],
];

// What is not on the tape is left out: what is made at the start of an engine, what would hold a model that is too large.
export function played(answer, results, point, bandwidth) {
  const kept = Object.fromEntries(KEPT.filter((name) => name in answer).map((name) => [name, answer[name]]));
  const phases = {};
  for (const [name, told] of Object.entries(answer.phases)) {
    const steps = name === "decode" && point.generate ? point.generate - 1 : told.steps;
    phases[name] = phase(told, ofPhase(results, name), steps, bandwidth);
  }
  const memory = { overhead_bytes: answer.memory.overhead_bytes, capacity_bytes: answer.memory.capacity_bytes };
  for (const name of [...MEMORY, "max_batch"]) if (name in results) memory[name] = results[name];
  const before = ["encode", "prefill"].filter((name) => name in phases).map((name) => phases[name].time_s);
  return {
    ...kept,
    inputs: { ...answer.inputs, ...point },
    fits: "fits" in results ? Boolean(results.fits) : answer.fits,
    memory,
    phases,
    request_s: results.request_s,
    ...("ttft_s" in answer ? { ttft_s: before.reduce((total, each) => total + each, 0) } : {}),
    ...("tpot_s" in answer ? { tpot_s: phases.decode.time_s } : {}),
    tokens_per_s: results.tokens_per_s,
  };
}

// USD for a million tokens at this batch, without a pause; price is of one device and hour.
export function usdPerMtok(answer, price) {
  return price === null ? null : (price * answer.hardware.count) / (answer.tokens_per_s * 3600) * 1e6;
}
