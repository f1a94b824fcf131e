// Where answers come from: the server that brought the page, or the recordings inside a file.

import { Tape, TapeError } from "./tape.js";
import { played } from "./answer.js";
import { query } from "./state.js";

export class Refused extends Error {}

class Server {
  constructor() {
    this.kept = new Map();
    this.alone = false;
  }

  async ask(path, pairs = "") {
    const address = `page/${path}${pairs ? `?${pairs}` : ""}`;
    if (!this.kept.has(address)) {
      if (this.kept.size > 200) this.kept.clear();
      this.kept.set(address, this.fetched(address));
    }
    return this.kept.get(address);
  }

  async fetched(address) {
    try {
      const response = await fetch(address, { headers: { accept: "application/json" } });
      const found = await response.json();
      if (!response.ok) throw new Refused(found.error);
      return found;
    } catch (failure) {
      this.kept.delete(address);
      throw failure instanceof Refused ? failure : new Refused("The server does not answer: is roofline page still running?");
    }
  }

  library() {
    return this.ask("library");
  }

  shown(state) {
    return this.ask("shown", query(state));
  }

  // For the layout that is shown, so that a slider moves within it.
  async tape(state, answer) {
    return new Tape(await this.ask("tape", query(state, answer.layout ?? {})));
  }

  // At many numbers of requests in flight, for the lengths of the answer; layouts are searched for each.
  serving({ model, config, gguf, hardware, spec, dtype }, { inputs }) {
    const { engine, prompt, generate } = inputs;
    const pairs = Object.entries({ model, config, gguf, hardware, spec, dtype, engine, prompt, generate }).filter(([, value]) => value);
    return this.ask("serving", new URLSearchParams(pairs).toString());
  }

  operator({ model, config, gguf }, { inputs }, phase, op) {
    const { dtype, engine } = inputs;
    const pairs = Object.entries({ model, config, gguf, dtype, engine, phase, op }).filter(([, value]) => value);
    return this.ask("operator", new URLSearchParams(pairs).toString());
  }
}

async function unpacked(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// What was recorded into this file: `library`, and of each model, device and format an answer and its tape, and those of
// a decode step.
class Recorded {
  constructor(whole) {
    this.whole = whole;
    this.kept = new Map();
    this.alone = true;
  }

  async library() {
    return this.whole.library;
  }

  async record({ model, hardware, dtype, context }) {
    const name = [model, hardware, dtype ?? this.whole.library.first.dtype].join("|");
    const key = context ? `${name}|context` : name;
    const text = this.whole.records[key];
    if (text === undefined) throw new Refused(this.whole.refused[name] ?? "Not recorded in this file.");
    if (!this.kept.has(key)) {
      this.kept.set(key, unpacked(text).then((found) => ({ ...found, tape: new Tape(found.tape) })));
    }
    return this.kept.get(key);
  }

  async shown(state) {
    const { answer, roof, tape } = await this.record(state);
    const point = pointOf(state, answer, tape);
    try {
      return { answer: played(answer, tape, point, roof.bandwidth_bytes_per_s), roof };
    } catch (failure) {
      if (failure instanceof TapeError) throw new Refused(`No recording in this file holds there (${failure.message}): ask a shorter prompt or one decode step, or roofline page.`);
      throw failure;
    }
  }

  async tape(state) {
    return (await this.record(state)).tape;
  }

  async operator(state, { model, inputs }, phase, op) {
    const key = [model, inputs.engine, inputs.dtype].join("|");
    if (!this.kept.has(key)) this.kept.set(key, unpacked(this.whole.operators[key]));
    const found = (await this.kept.get(key))[`${phase}.${op}`];
    if (found === undefined) throw new Refused("No formula in letters: it is no operator of the model's statement.");
    return found;
  }
}

// The letters of a tape: what the state says, else what the answer took.
export function pointOf(state, answer, tape) {
  return Object.fromEntries(tape.letters.map(({ name }) => [name, Number(state[name] ?? answer.inputs[name])]));
}

export async function source() {
  const inside = document.getElementById("recorded");
  return inside ? new Recorded(JSON.parse(inside.textContent)) : new Server();
}
