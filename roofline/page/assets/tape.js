// Plays a tape: a row of values filled from left to right. How it is written: roofline/tape/wire.py.

import { least_waves, padded, soft_corner } from "./kept.js";

const WHERE = 9;
const PADDED = 13;
const LEAST_WAVES = 14;
const SOFT_CORNER = 15;
const SUM = 16;
const MORE = { [LEAST_WAVES]: 2, [SOFT_CORNER]: 1 };  // values beside the first
const NEAR = 32;

// The numbers, of which some are told as multiples of others.
function multiplied(numbers) {
  const found = [];
  numbers.forEach((each, place) => found.push(Array.isArray(each) ? found[place - each[0]] * each[1] : each));
  return found;
}

const operands = (operation) => (operation > SUM ? operation - SUM : operation === WHERE ? 3 : operation === PADDED || operation === LEAST_WAVES ? 1 : 2);

const made = ({ operations }) => operations.reduce((total, each) => total + 1 + (MORE[each] ?? 0), 0);

// What a tape says, as places in the row, whose end holds the numbers.
class Reader {
  constructor(numbersAt) {
    this.numbersAt = numbersAt;
    this.met = 0;
  }

  number(told) {
    return this.numbersAt + (told ? told - 1 : this.met++);
  }

  place(told) {
    return told < 0 ? this.number(-1 - told) : told;
  }

  // Statements one after the other: operation, target, operands; of a sum the number of terms is within the operation,
  // and its constant comes first, then each operand and its factor; of what is kept whole the table comes last.
  statements({ operations, operands: given, numbers, tables }, first) {
    const found = [];
    let [target, operand, number, table] = [first, 0, 0, 0];
    for (const operation of operations) {
      found.push(operation, target);
      if (operation >= SUM) found.push(this.number(numbers[number++]));
      for (let each = operands(operation); each > 0; each--) {
        const told = given[operand++];
        found.push(told < 0 || told > NEAR ? this.place(told < 0 ? told : told - NEAR - 1) : target - told);
        if (operation >= SUM) found.push(this.number(numbers[number++]));
      }
      if (operation >= PADDED && operation < SUM) found.push(tables[table++]);
      target += 1 + (MORE[operation] ?? 0);
    }
    return Int32Array.from(found);
  }

  // Of each row the places of all names.
  rows({ names, places }) {
    let last = 0;
    const all = places.map((told) => (told & 1 ? this.number((told - 1) / 2) : (last += told / 2)));
    const rows = Array.from({ length: all.length / names.length }, (_, row) => all.slice(row * names.length, (row + 1) * names.length));
    return { names, rows };
  }
}

export class TapeError extends Error {}

export class Tape {
  constructor(wire) {
    this.letters = wire.letters;
    this.steps = wire.steps;
    this.step = wire.letters.length;
    const firstInner = this.step + 1 + made(wire.before);
    this.firstMean = firstInner + made(wire.inner);
    const firstAfter = this.firstMean + wire.means.length;
    const numbersAt = firstAfter + made(wire.after);
    const reader = new Reader(numbersAt);
    this.before = reader.statements(wire.before, this.step + 1);
    this.inner = reader.statements(wire.inner, firstInner);
    this.means = wire.means.map((place) => reader.place(place));
    this.after = reader.statements(wire.after, firstAfter);
    this.results = Object.fromEntries(Object.entries(wire.results).map(([name, place]) => [name, reader.place(place)]));
    this.phases = Object.fromEntries(Object.entries(wire.rows).map(([name, rows]) => [name, reader.rows(rows)]));
    this.guards = wire.guards.map(([place, expected]) => [reader.place(place), expected]);
    const numbers = multiplied(wire.numbers);
    this.tables = wire.tables.map((table) => Float64Array.from(table, (told) => numbers[reader.number(told) - numbersAt]));
    this.row = new Float64Array(numbersAt + numbers.length);
    this.row.set(numbers, numbersAt);
  }

  letter(name) {
    return this.letters.find((letter) => letter.name === name);
  }

  // Fills the row. Throws a TapeError where a letter is out of its range or the recording does not hold.
  play(point) {
    const { row } = this;
    this.letters.forEach((letter, place) => {
      const value = Number(point[letter.name]);
      if (!(value >= letter.low && value <= letter.high)) {
        throw new TapeError(`${letter.name}: from ${letter.low} to ${letter.high}`);
      }
      row[place] = value;
    });
    play(this.before, row, this.tables);
    if (this.means.length) this.playSteps(this.steps ?? point.generate - 1);
    play(this.after, row, this.tables);
    for (const [place, expected] of this.guards) {
      if (row[place] !== expected) throw new TapeError("another choice is made here");
    }
  }

  // What was played: a result, undefined where there is none; the rows of a phase; of one of their names the sum over
  // all executions.
  result(name) {
    return name in this.results ? this.row[this.results[name]] : undefined;
  }

  operators(phase) {
    const { names, rows } = this.phases[phase];
    return rows.map((places) => Object.fromEntries(names.map((name, column) => [name, this.row[places[column]]])));
  }

  total(phase, name) {
    const { names, rows } = this.phases[phase];
    const [many, each] = [names.indexOf("count"), names.indexOf(name)];
    return rows.reduce((sum, places) => sum + this.row[places[many]] * this.row[places[each]], 0);
  }

  playSteps(steps) {
    const { row, firstMean, means } = this;
    row.fill(0, firstMean, firstMean + means.length);
    for (let step = 1; step <= steps; step++) {
      row[this.step] = step;
      play(this.inner, row, this.tables);
      for (let mean = 0; mean < means.length; mean++) row[firstMean + mean] += row[means[mean]] / steps;
    }
  }
}

function play(code, row, tables) {
  let at = 0;
  while (at < code.length) {
    const operation = code[at];
    const target = code[at + 1];
    if (operation >= SUM) {
      const end = at + 3 + 2 * (operation - SUM);
      let sum = 0;
      for (let term = at + 3; term < end; term += 2) sum += row[code[term + 1]] * row[code[term]];
      row[target] = sum + row[code[at + 2]];
      at = end;
      continue;
    }
    const a = row[code[at + 2]];
    const b = row[code[at + 3]];
    let value;
    switch (operation) {
      case 0: value = a * b; break;
      case 1: value = a / b; break;
      case 2: value = Math.max(a, b); break;
      case 3: value = Math.min(a, b); break;
      case 4: value = a ** b; break;
      case 5: value = Math.ceil(a / b); break;
      case 6: value = Math.floor(a / b); break;
      case 7: value = a % b; break;
      case 8: value = b > 0 ? a / b : 0; break;
      case WHERE:
        row[target] = a ? b : row[code[at + 4]];
        at += 5;
        continue;
      case 10: value = a < b ? 1 : 0; break;
      case 11: value = a <= b ? 1 : 0; break;
      case 12: value = a === b ? 1 : 0; break;
      case PADDED: value = padded(a, tables[code[at + 3]]); break;
      case LEAST_WAVES:
        row.set(least_waves(a, tables[code[at + 3]]), target);
        at += 4;
        continue;
      default:
        row.set(soft_corner(a, b, tables[code[at + 4]]), target);
        at += 5;
        continue;
    }
    row[target] = value;
    at += 4;
  }
}
