// Numbers in words as the page has them, and the ticks of a part of an axis.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const grouped = (value, digits) =>
  value.toLocaleString("en-US", { maximumFractionDigits: digits });

function plain(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e15 || size < 1e-4) return value.toExponential().replace(/(\.\d{3})\d*/, "$1");
  if (Number.isInteger(value)) return grouped(value, 0);
  return grouped(value, clamp(4 - Math.floor(Math.log10(size)), 1, 9));
}

function bytes(value) {
  const size = Math.abs(value);
  let unit = "B", factor = 1;
  for (const [name, power] of [["KiB", 1], ["MiB", 2], ["GiB", 3], ["TiB", 4]]) {
    if (size >= (power === 2 ? 100 : 1) * 1024 ** power) [unit, factor] = [name, 1024 ** power];
  }
  return grouped(value / factor, 3) + " " + unit;
}

function words(value, unit) {
  if (unit === "bytes") return bytes(value);
  if (unit === "share") return plain(Number((100 * value).toPrecision(4))) + " %";
  return plain(value) + (unit === "ms" || unit === "s" ? " " + unit : "");
}

// Ticks of a part of an axis: [coordinate, text]

function roundStep(least, unit) {
  if (unit === "bytes" && least > 1) return 2 ** Math.ceil(Math.log2(least) - 1e-9);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-9)) * power;
  return unit === "count" ? Math.max(1, step) : step;
}

const rawOf = (axis, at) => at * axis.factor + axis.offset;
const valueOf = (axis, at) => (axis.log ? 10 ** rawOf(axis, at) : rawOf(axis, at));
const placeOf = (axis, value) =>
  ((axis.log ? Math.log10(value) : value) - axis.offset) / axis.factor;

function ticks(axis, low, high, most) {
  const found = [];
  if (axis.names.length) {
    const first = Math.max(0, Math.ceil(low - 0.5));
    const last = Math.min(axis.names.length - 1, Math.floor(high - 0.5));
    const stride = Math.max(1, Math.ceil((last - first + 1) / most));
    for (let i = first; i <= last; i += stride) found.push([i + 0.5, axis.names[i]]);
    return found;
  }
  const first = Math.ceil(rawOf(axis, low)), last = Math.floor(rawOf(axis, high));
  if (axis.log && last - first >= 1) {
    const stride = Math.ceil((last - first + 1) / most);
    for (let p = first; p <= last; p += stride) {
      found.push([placeOf(axis, 10 ** p), words(10 ** p, axis.unit)]);
    }
    return found;
  }
  const from = valueOf(axis, low), to = valueOf(axis, high);
  const step = roundStep((to - from) / most, axis.unit);
  const end = Math.min(Math.floor(to / step + 1e-9), Math.ceil(from / step) + 50);
  for (let i = Math.ceil(from / step - 1e-9); i <= end; i++) {
    const value = Number((i * step).toPrecision(12));
    found.push([placeOf(axis, value), words(value, axis.unit)]);
  }
  return found;
}
