// Plays a tape: a row of values filled from left to right. How it is written: roofline/tape/wire.py.

import { least_waves, padded, soft_corner } from "./kept.js";

const WHERE = 10;
const PADDED = 14;
const LEAST_WAVES = 15;
const SOFT_CORNER = 16;
const MORE = { [LEAST_WAVES]: 2, [SOFT_CORNER]: 1 };  // values beside the first

// Statements as operation, target and operands, all by their places in the row, whose end holds the numbers; of a sum
// the number of terms, its constant, then each operand and its factor.
function decoded(code, first, numbersAt) {
  const found = [];
  let target = first;
  let at = 0;
  const number = () => numbersAt + code[at++];
  const operand = () => {
    const back = code[at++];
    return back < 0 ? numbersAt - 1 - back : target - back;
  };
  while (at < code.length) {
    const operation = code[at++];
    found.push(operation, target);
    if (operation === 0) {
      const terms = code[at++];
      found.push(terms, number());
      for (let term = 0; term < terms; term++) {
        const place = operand();
        found.push(place, number());
      }
    } else if (operation >= PADDED) {
      found.push(operand());
      if (operation === SOFT_CORNER) found.push(operand());
      found.push(code[at++]);
      target += MORE[operation] ?? 0;
    } else {
      for (let each = operation === WHERE ? 3 : 2; each > 0; each--) found.push(operand());
    }
    target++;
  }
  return Int32Array.from(found);
}

function length(code) {
  let count = 0;
  for (let at = 0; at < code.length; count++) {
    count += MORE[code[at]] ?? 0;
    at += code[at] === 0 ? 3 + 2 * code[at + 1] : code[at] === WHERE || code[at] === SOFT_CORNER ? 4 : 3;
  }
  return count;
}

function summed(differences) {
  let sum = 0;
  return differences.map((each) => (sum += each));
}

export class TapeError extends Error {}

export class Tape {
  constructor(wire) {
    this.wire = wire;
    this.step = wire.letters.length;
    const firstInner = this.step + 1 + length(wire.before);
    this.firstMean = firstInner + length(wire.inner);
    const firstAfter = this.firstMean + wire.means.length;
    this.numbersAt = firstAfter + length(wire.after);
    this.before = decoded(wire.before, this.step + 1, this.numbersAt);
    this.inner = decoded(wire.inner, firstInner, this.numbersAt);
    this.after = decoded(wire.after, firstAfter, this.numbersAt);
    this.row = new Float64Array(this.numbersAt + wire.numbers.length);
    this.row.set(wire.numbers, this.numbersAt);
    this.columns = Object.entries(wire.columns).map(([name, columns]) => [name, Object.entries(columns).map(([key, differences]) => [key, summed(differences)])]);
    this.tables = wire.tables.map((places) => Float64Array.from(places, (place) => wire.numbers[place]));
  }

  letter(name) {
    return this.wire.letters.find((letter) => letter.name === name);
  }

  // Every result by name, those of columns as a list of rows. Throws a TapeError as `some` does.
  at(point) {
    const found = this.some(point, Object.keys(this.wire.results));
    for (const [name, columns] of this.columns) found[name] = this.rows(columns);
    return found;
  }

  // Some results by name, those that there are. Throws a TapeError where a letter is out of its range or the recording
  // does not hold.
  some(point, names) {
    const { row, wire } = this;
    wire.letters.forEach((letter, place) => {
      const value = Number(point[letter.name]);
      if (!(value >= letter.low && value <= letter.high)) {
        throw new TapeError(`${letter.name}: from ${letter.low} to ${letter.high}`);
      }
      row[place] = value;
    });
    play(this.before, row, this.tables);
    if (wire.means.length) this.playSteps(wire.steps ?? point.generate - 1);
    play(this.after, row, this.tables);
    for (const [place, expected] of wire.guards) {
      if (this.value(place) !== expected) throw new TapeError("another choice is made here");
    }
    const found = {};
    for (const name of names) if (name in wire.results) found[name] = this.value(wire.results[name]);
    return found;
  }

  // Of columns, an object for each row.
  rows(columns) {
    const found = columns[0][1].map(() => ({}));
    for (const [key, places] of columns) places.forEach((place, row) => { found[row][key] = this.value(place); });
    return found;
  }

  value(place) {
    return this.row[place < 0 ? this.numbersAt - 1 - place : place];
  }

  playSteps(steps) {
    const { row, firstMean } = this;
    const places = this.wire.means.map((place) => (place < 0 ? this.numbersAt - 1 - place : place));
    row.fill(0, firstMean, firstMean + places.length);
    for (let step = 1; step <= steps; step++) {
      row[this.step] = step;
      play(this.inner, row, this.tables);
      for (let mean = 0; mean < places.length; mean++) row[firstMean + mean] += row[places[mean]] / steps;
    }
  }
}

function play(code, row, tables) {
  let at = 0;
  while (at < code.length) {
    const operation = code[at];
    const target = code[at + 1];
    const a = row[code[at + 2]];
    const b = row[code[at + 3]];
    let value;
    switch (operation) {
      case 0: {
        const end = at + 4 + 2 * code[at + 2];
        value = 0;
        for (let term = at + 4; term < end; term += 2) value += row[code[term + 1]] * row[code[term]];
        row[target] = value + row[code[at + 3]];
        at = end;
        continue;
      }
      case 1: value = a * b; break;
      case 2: value = a / b; break;
      case 3: value = Math.max(a, b); break;
      case 4: value = Math.min(a, b); break;
      case 5: value = a ** b; break;
      case 6: value = Math.ceil(a / b); break;
      case 7: value = Math.floor(a / b); break;
      case 8: value = a % b; break;
      case 9: value = b > 0 ? a / b : 0; break;
      case WHERE:
        row[target] = a ? b : row[code[at + 4]];
        at += 5;
        continue;
      case 11: value = a < b ? 1 : 0; break;
      case PADDED: value = padded(a, tables[code[at + 3]]); break;
      case LEAST_WAVES:
        row.set(least_waves(a, tables[code[at + 3]]), target);
        at += 4;
        continue;
      case SOFT_CORNER:
        row.set(soft_corner(a, b, tables[code[at + 4]]), target);
        at += 5;
        continue;
      case 12: value = a <= b ? 1 : 0; break;
      default: value = a === b ? 1 : 0;
    }
    row[target] = value;
    at += 4;
  }
}
