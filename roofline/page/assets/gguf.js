// The header of a GGUF file, read where the file is: its network and its tensors, a row for those that are alike.

const FIRST_BYTES = 2 ** 20;
const MOST_BYTES = 2 ** 27;
const MOST_ENTRIES = 200_000;
const MAGIC = 0x46554747;
const [BOOL, STRING, ARRAY] = [7, 8, 9];
const NUMBERS = {
  0: [1, "getUint8"], 1: [1, "getInt8"], 2: [2, "getUint16"], 3: [2, "getInt16"], 4: [4, "getUint32"], 5: [4, "getInt32"],
  6: [4, "getFloat32"], [BOOL]: [1, "getUint8"], 10: [8, "getBigUint64"], 11: [8, "getBigInt64"], 12: [8, "getFloat64"],
};
const KEPT_NUMBERS = 10_000;  // of a list: a number for each layer, and no scores of a vocabulary

export class GgufError extends Error {}

class TooShort extends Error {}

class Cursor {
  constructor(buffer) {
    this.view = new DataView(buffer);
    this.at = 0;
  }

  skip(size) {
    const from = this.at;
    if (from + size > this.view.byteLength) throw new TooShort();
    this.at += size;
    return from;
  }

  number(type) {
    const [size, read] = NUMBERS[type] ?? wrong(`a value of the type ${type}`);
    const value = Number(this.view[read](this.skip(size), true));
    return type === BOOL ? value !== 0 : value;
  }

  count() {
    const found = this.number(10);
    return found <= Number.MAX_SAFE_INTEGER ? found : wrong(`a count of ${found}`);
  }

  entries() {
    const found = this.count();
    return found <= MOST_ENTRIES ? found : wrong(`${found} entries`);
  }

  text() {
    const size = this.count();
    return new TextDecoder().decode(new Uint8Array(this.view.buffer, this.skip(size), size));
  }

  // Of a list of words how many there are, of long lists nothing.
  value(type) {
    if (type === STRING) return this.text();
    if (type !== ARRAY) return this.number(type);
    const [inner, count] = [this.number(4), this.count()];
    if (inner === STRING) {
      for (let each = 0; each < count; each++) this.skip(this.count());
      return count;
    }
    const [size] = NUMBERS[inner] ?? wrong(`a list of the type ${inner}`);
    if (count <= KEPT_NUMBERS) return Array.from({ length: count }, () => this.number(inner));
    this.skip(size * count);
    return undefined;
  }
}

function wrong(what) {
  throw new GgufError(`${what} in its header`);
}

function parsed(buffer) {
  const cursor = new Cursor(buffer);
  if (cursor.number(4) !== MAGIC) throw new GgufError("it does not begin as one");
  const version = cursor.number(4);
  if (version !== 2 && version !== 3) wrong(`version ${version}`);
  const [tensors, keys] = [cursor.entries(), cursor.entries()];
  const fields = Object.fromEntries(Array.from({ length: keys }, () => [cursor.text(), cursor.value(cursor.number(4))]));
  const found = Array.from({ length: tensors }, () => {
    const name = cursor.text();
    const axes = cursor.number(4);
    if (axes > 4) wrong(`${axes} axes`);
    const shape = Array.from({ length: axes }, () => cursor.count());
    const type = cursor.number(4);
    cursor.count();  // where it begins
    return { name, type, elements: shape.reduce((product, size) => product * size, 1), axes: shape.filter((size) => size > 1).length };
  });
  const step = fields["general.alignment"] ?? 32;
  return { fields, tensors: found, data: Math.ceil(cursor.at / step) * step };
}

async function read(file) {
  for (let size = FIRST_BYTES; ; size *= 4) {
    try {
      return parsed(await file.slice(0, size).arrayBuffer());
    } catch (failure) {
      if (!(failure instanceof TooShort)) throw failure;
      if (size >= file.size) throw new GgufError("its header ends early");
      if (size >= MOST_BYTES) throw new GgufError(`its header is longer than ${MOST_BYTES} bytes`);
    }
  }
}

// Ascending numbers as 0-3,7.
function ranges(numbers) {
  const found = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}

function rows(tensors) {
  const found = new Map();
  for (const { name, type, elements, axes } of tensors) {
    const layer = /^blk\.(\d+)\./.exec(name)?.[1];
    const key = JSON.stringify([layer === undefined ? name : name.replace(layer, "*"), type, elements, axes]);
    if (!found.has(key)) found.set(key, []);
    if (layer !== undefined) found.get(key).push(Number(layer));
  }
  return [...found].map(([key, layers]) => [...JSON.parse(key), ranges(layers)]);
}

const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

// The files are all parts of one. Throws a GgufError for what is none, or not all of it.
export async function header(files) {
  const [{ name }] = files;
  const part = PART.exec(name);
  if (files.length !== (part ? Number(part[3]) : 1) || files.some((file) => part && PART.exec(file.name)?.[1] !== part[1])) {
    throw new GgufError(part ? `one of ${Number(part[3])} parts: choose all of them at once` : "several models: choose one");
  }
  const found = await Promise.all([...files].sort((a, b) => (a.name < b.name ? -1 : 1)).map(async (file) => ({ size: file.size, ...await read(file) })));
  const { fields } = found[0];
  const architecture = fields["general.architecture"];
  if (typeof architecture !== "string") throw new GgufError("general.architecture is not in its header");
  const own = Object.entries(fields).filter(([key, value]) => key.startsWith(`${architecture}.`) && value !== undefined);
  const words = fields["tokenizer.ggml.tokens"];
  return {
    file: name,
    architecture,
    fields: Object.fromEntries(own.map(([key, value]) => [key.slice(architecture.length + 1), value])),
    vocabulary: typeof words === "number" ? words : 0,
    bytes: found.reduce((total, { size, data }) => total + Math.max(0, size - data), 0),
    tensors: rows(found.flatMap(({ tensors }) => tensors)),
  };
}
