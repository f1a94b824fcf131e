// Plays a tape: a row of values filled from left to right. How it is written: roofline/tape/wire.py.

import { least_waves, padded, soft_corner } from "./kept.js";

const WHERE = 9;
const PADDED = 13;
const LEAST_WAVES = 14;
const SOFT_CORNER = 15;
const SHARED = 16;
const BAND = 17;
const SOFTENED = 18;
const SUM = 19;
// Of each operation but sums: its operands, its own numbers, its tables, the values that it makes.
const BINARY = [2, 0, 0, 1];
const SHAPES = { [WHERE]: [3, 0, 0, 1], [PADDED]: [1, 0, 1, 1], [LEAST_WAVES]: [1, 0, 1, 3], [SOFT_CORNER]: [2, 0, 1, 2], [SHARED]: [2, 0, 1, 4], [BAND]: [2, 2, 0, 3], [SOFTENED]: [1, 2, 0, 2] };
const NEAR = 32;
const LAST = 64;

// Whole numbers as letters: one of these ends a number, others go on.
const LETTERS = Array.from({ length: 92 }, (_, place) => String.fromCharCode(35 + place)).filter((letter) => letter !== "\\");
const DIGITS = new Map(LETTERS.map((letter, digit) => [letter, digit]));

export function wholeNumbers(text) {
  const found = [];
  let [number, unit] = [0, 1];
  for (const letter of text) {
    const digit = DIGITS.get(letter);
    number += unit * digit;
    if (digit >= LAST) {
      unit *= LETTERS.length - LAST;
    } else {
      found.push(number);
      [number, unit] = [0, 1];
    }
  }
  return found;
}

// The numbers, of which some are told as multiples of others.
function multiplied(numbers) {
  const found = [];
  numbers.forEach((each, place) => found.push(Array.isArray(each) ? found[place - each[0]] * each[1] : each));
  return found;
}

const made = ({ operations }) => wholeNumbers(operations).reduce((total, each) => total + (each < SUM ? SHAPES[each] ?? BINARY : BINARY)[3], 0);

// What a tape says, as places in the row, which ends in the numbers and a 0.
class Reader {
  constructor(numbersAt, numbers) {
    this.numbersAt = numbersAt;
    this.numbers = numbers;
    this.met = 0;
  }

  number(told) {
    return this.numbersAt + (told ? told - 1 : this.met++);
  }

  // A number or a value by its place.
  place(told) {
    return told < 0 ? this.number(-1 - told) : told;
  }

  // A new number, one of the last values, a number that was met, any value.
  operand(told, target) {
    if (told === 0) return this.number(0);
    if (told <= NEAR) return target - told;
    const far = told - NEAR - 1;
    return far % 2 ? (far - 1) / 2 : this.number(far / 2);
  }

  // Statements one after the other: operation, target, then operands, numbers and table; of a sum its constant, then
  // each operand and its factor.
  statements({ operations, operands, numbers, tables }, first) {
    const [given, own, whole] = [operands, numbers, tables].map((text) => wholeNumbers(text).values());
    const next = (values) => values.next().value;
    const found = [];
    let target = first;
    for (const operation of wholeNumbers(operations)) {
      found.push(operation, target);
      if (operation >= SUM) {
        const [terms, constant] = [(operation - SUM) >> 1, (operation - SUM) % 2];
        const places = Array.from({ length: terms }, () => this.operand(next(given), target));
        found.push(constant ? this.number(next(own)) : this.numbersAt + this.numbers.length);
        for (const place of places) found.push(place, this.number(next(own)));
        target += 1;
        continue;
      }
      const [many, factors, table, values] = SHAPES[operation] ?? BINARY;
      for (let each = 0; each < many; each++) found.push(this.operand(next(given), target));
      for (let each = 0; each < factors; each++) found.push(this.number(next(own)));
      if (table) found.push(next(whole));
      target += values;
    }
    return Int32Array.from(found);
  }

  // Places one after the other, each from the one before it; a number leaves that where it is.
  run(told, last) {
    let from = last;
    return told.map((each) => (each % 2 ? this.number((each - 1) / 2) : (from += each % 4 ? -(each + 2) / 4 : each / 4)));
  }

  // Of each row the places of all names: first how often, then the others, or the row before that has the same.
  rows({ names, others, firsts }) {
    const told = wholeNumbers(others);
    const width = names.length - 1;
    const [alike, found] = [[], []];
    for (let at = 0, last = 0; at < told.length; at++) {
      if (!told[at]) {
        const row = this.run(told.slice(at + 1, at + 1 + width), last);
        last = row.findLast((place) => place < this.numbersAt) ?? last;
        at += width;
        alike.push(row);
        found.push(row);
      } else {
        found.push(alike[told[at] - 1]);
      }
    }
    return { names, rows: this.run(wholeNumbers(firsts), 0).map((first, place) => [first, ...found[place]]) };
  }

  table(text) {
    const [rising, ...told] = wholeNumbers(text);
    let last = 0;
    return Float64Array.from(told, (each) => (rising ? (last += each) : this.numbers[this.number(each) - this.numbersAt]));
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
    const numbers = multiplied(wire.numbers);
    const reader = new Reader(numbersAt, numbers);
    this.before = reader.statements(wire.before, this.step + 1);
    this.inner = reader.statements(wire.inner, firstInner);
    this.means = wire.means.map((place) => reader.place(place));
    this.after = reader.statements(wire.after, firstAfter);
    this.results = Object.fromEntries(Object.entries(wire.results).map(([name, place]) => [name, reader.place(place)]));
    this.phases = Object.fromEntries(Object.entries(wire.rows).map(([name, rows]) => [name, reader.rows(rows)]));
    this.guards = wire.guards.map(([place, expected]) => [reader.place(place), expected]);
    this.tables = wire.tables.map((text) => reader.table(text));
    this.row = new Float64Array(numbersAt + numbers.length + 1);
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
      const end = at + 3 + 2 * ((operation - SUM) >> 1);
      let sum = 0;
      for (let term = at + 3; term < end; term += 2) sum += row[code[term + 1]] * row[code[term]];
      row[target] = sum + row[code[at + 2]];
      at = end;
      continue;
    }
    const a = row[code[at + 2]];
    const b = row[code[at + 3]];
    at += 4;
    switch (operation) {
      case 0: row[target] = a * b; break;
      case 1: row[target] = a / b; break;
      case 2: row[target] = Math.max(a, b); break;
      case 3: row[target] = Math.min(a, b); break;
      case 4: row[target] = a ** b; break;
      case 5: row[target] = Math.ceil(a / b); break;
      case 6: row[target] = Math.floor(a / b); break;
      case 7: row[target] = a % b; break;
      case 8: row[target] = b > 0 ? a / b : 0; break;
      case WHERE: {
        const other = row[code[at++]];
        row[target] = a ? b : other;
        break;
      }
      case 10: row[target] = a < b ? 1 : 0; break;
      case 11: row[target] = a <= b ? 1 : 0; break;
      case 12: row[target] = a === b ? 1 : 0; break;
      case PADDED: row[target] = padded(a, tables[code[at - 1]]); break;
      case LEAST_WAVES: row.set(least_waves(a, tables[code[at - 1]]), target); break;
      case SOFT_CORNER: row.set(soft_corner(a, b, tables[code[at++]]), target); break;
      case SHARED: {
        const [whole, share] = soft_corner(a, b, tables[code[at++]]);
        row[target] = whole;
        row[target + 1] = share;
        row[target + 2] = whole * share;
        row[target + 3] = whole * (1 - share);
        break;
      }
      case BAND:
        row[target] = Math.min(a, b);
        row[target + 1] = Math.max(row[target], row[code[at]] * a);
        row[target + 2] = row[code[at + 1]] * a;
        at += 2;
        break;
      default: {
        const constant = row[code[at++]];
        const first = a ** b;
        const both = first + constant;
        row[target] = both ** (1 / b);
        row[target + 1] = (first * row[target]) / both;
      }
    }
  }
}
