// Figures as people read them.

const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const few = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

// whole writes a count out; a large one in short.
export function whole(n) {
  if (n >= 1e9) return few.format(n / 1e9) + " G";
  if (n >= 1e7) return few.format(n / 1e6) + " M";
  return count.format(n);
}

// short writes a number of any size in few digits.
export function short(n) {
  for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (n >= limit) return few.format(n / limit) + " " + unit;
  }
  return few.format(n);
}

// bytes writes a size.
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return (i === 0 ? count : few).format(n) + " " + units[i];
}

// time writes a number of seconds.
export function time(s) {
  if (s === 0) return "0";
  if (s < 1e-3) return few.format(s * 1e6) + " µs";
  if (s < 1) return few.format(s * 1e3) + " ms";
  if (s < 120) return few.format(s) + " s";
  if (s < 7200) return count.format(s / 60) + " min";
  if (s < 172800) return count.format(s / 3600) + " h";
  return count.format(s / 86400) + " days";
}

export function percent(part, all) {
  return all > 0 ? few.format(100 * part / all) + " %" : "–";
}

// clock writes a moment, Unix ms, as a time of today or with its day.
export function clock(ms) {
  const at = new Date(ms);
  const today = new Date().toDateString() === at.toDateString();
  return today ? at.toLocaleTimeString("en-GB") : at.toLocaleString("en-GB");
}
