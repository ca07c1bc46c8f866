// Axes of the drawings that the script makes: where a value stands, and which round values are named. The same rules as axis.py.

const ROUND = [1, 2, 2.5, 5, 10];

function roundStep(least) {
  const scale = 10 ** Math.floor(Math.log10(least));
  return ROUND.find((factor) => factor * scale >= least * (1 - 1e-9)) * scale;
}

/** The decimals that multiples of a step need. */
function decimalsOf(step) {
  let decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const scaled = step * 10 ** decimals;
  if (Math.abs(scaled - Math.round(scaled)) > 1e-6) decimals += 1;
  return decimals;
}

function linearTicks(low, high, about) {
  const step = roundStep((high - low) / about);
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index <= Math.floor(high / step + 1e-9); index += 1) {
    ticks.push({ value: index * step, text: index === 0 ? "0" : (index * step).toFixed(decimalsOf(step)) });
  }
  return ticks;
}

/** On a log axis: powers of ten with 2 and 5 where it spans decades, and evenly chosen round values where it does not. */
function logTicks(low, high, about) {
  if (high / low < 8) return linearTicks(low, high, about).filter((tick) => tick.value > 0);
  const ticks = [];
  const factors = high / low > 1e4 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low && value <= high) ticks.push({ value, text: String(Number(value.toPrecision(2))) });
    }
  }
  return ticks;
}

/** An axis over values from `low` to `high`, drawn from pixel `start` to pixel `end`. */
function makeAxis(low, high, start, end, log, about) {
  const scale = log ? Math.log : (value) => value;
  const [first, last] = [scale(low), scale(high)];
  return {
    place: (value) => start + ((scale(value) - first) / (last - first)) * (end - start),
    ticks: log ? logTicks(low, high, about) : linearTicks(low, high, about),
  };
}

/** Some room around the values, in the axis's own sense. */
function withRoom(values, log, margin) {
  let [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  if (low === high) [low, high] = log ? [low / 1.1, high * 1.1] : [low - (Math.abs(low) * 0.1 || 1), high + (Math.abs(high) * 0.1 || 1)];
  if (log) {
    const factor = (high / low) ** margin;
    return [low / factor, high * factor];
  }
  return [low - (high - low) * margin, high + (high - low) * margin];
}
