// What is asked, as the fragment of the address keeps it: the names are those of the flags of predict.

export const LENGTHS = ["batch", "prompt", "generate", "context"];
export const DEGREES = ["tp", "pp", "dp", "ep", "cp", "dcp", "sp"];
const ASKED = ["model", "config", "gguf", "hardware", "spec", "dtype", "engine", ...LENGTHS, ...DEGREES];
const SHOWN = ["also", "price", "concurrency", "show", "op", "sort", "rows"];

export const FIRST = { model: "llama-3.1-8b", hardware: "h100", batch: "1" };

export function read(fragment) {
  const found = {};
  for (const [name, value] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    if ((ASKED.includes(name) || SHOWN.includes(name)) && value !== "") found[name] = value;
  }
  const subject = found.model || found.config || found.gguf ? {} : { model: FIRST.model };
  const device = found.hardware || found.spec ? {} : { hardware: FIRST.hardware };
  return { batch: FIRST.batch, ...subject, ...device, ...found };
}

export function written(state) {
  const pairs = [...ASKED, ...SHOWN].filter((name) => state[name]).map((name) => [name, state[name]]);
  return `#${new URLSearchParams(pairs)}`;
}

// The question to the server, or to a file's recordings.
export function query(state, more = {}) {
  const whole = { ...state, ...more };
  return new URLSearchParams(ASKED.filter((name) => whole[name]).map((name) => [name, whole[name]])).toString();
}

// A device of one's own, which has no name here, is one.
export function parted(hardware = "") {
  const found = /^([0-9]+)x(.+)$/i.exec(hardware);
  return found ? { count: Number(found[1]), device: found[2] } : { count: 1, device: hardware };
}

export const joined = (count, device) => (count > 1 ? `${count}x${device}` : device);

export const also = (state) => (state.also ?? "").split(",").filter(Boolean);

const quoted = (text) => (/^[\w.:\/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function options(state, layout) {
  const fixed = Object.fromEntries(DEGREES.filter((name) => layout?.[name] > 1).map((name) => [name, layout[name]]));
  const asked = { ...fixed, ...state };
  const names = ["dtype", "engine", ...LENGTHS, ...DEGREES];
  return names.filter((name) => asked[name]).map((name) => [name, String(asked[name])]);
}

// The name of the file whose header is asked about.
export function ggufName({ gguf }) {
  try {
    return String(JSON.parse(gguf).file);
  } catch {
    return "model.gguf";
  }
}

const named = (state) => (state.config ? "./config.json" : state.gguf ? `./${ggufName(state)}` : state.model);
const device = (state) => (state.spec ? "./device.yaml" : state.hardware);

// The command line and the Python that give the same answer, in the layout that is shown.
export function command(state, layout) {
  const flags = options(state, layout).map(([name, value]) => ` --${name} ${quoted(value)}`);
  return `roofline predict ${quoted(named(state))} --hardware ${quoted(device(state))}${flags.join("")}`;
}

export function python(state, layout) {
  const text = (value) => JSON.stringify(value);
  const keywords = options(state, layout).map(([name, value]) => {
    return `${name}=${["dtype", "engine"].includes(name) ? text(value) : value}`;
  });
  return `import roofline\n\nroofline.predict(${[text(named(state)), text(device(state)), ...keywords].join(", ")})`;
}
