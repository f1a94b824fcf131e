// Functions that a recording keeps whole: roofline/kept.py says what they are and how a table is laid out.

export function padded(number, sizes) {
  for (const size of sizes) if (size >= number) return size;
  return number;
}

export function least_waves(rows, table) {
  const [units, partial, late, tiles] = table;
  const end = 4 + 3 * tiles;
  const blocks = [];
  for (let at = 4; at < end; at += 3) blocks.push(Math.ceil(rows / table[at]) * table[at + 1], table[at + 2]);
  let best = [Infinity, 0, 0];
  for (let at = end; at < table.length; at += 2) {
    const parts = table[at];
    const steps = table[at + 1];
    let seconds = Infinity;
    for (let tile = 0; tile < blocks.length; tile += 2) {
      const own = Math.ceil((blocks[tile] * parts) / units) * steps * blocks[tile + 1];
      if (own < seconds) seconds = own;
    }
    const cut = parts > 1 ? [parts * partial * rows, late] : [0, 0];
    const whole = seconds + (cut[0] + cut[1]);
    if (whole < best[0]) best = [whole, ...cut];
  }
  return best;
}

export function soft_corner(x, y, [p]) {
  const larger = Math.max(x, y);
  const total = 1 + (larger > 0 ? Math.min(x, y) / larger : 0) ** p;
  return [larger * total ** (1 / p), x >= y ? 1 / total : 1 - 1 / total];
}
