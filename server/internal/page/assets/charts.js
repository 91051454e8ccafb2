// Charts: SVG with a label that says what it shows, and a table of the same figures behind a fold.

const space = "http://www.w3.org/2000/svg";

// el makes an element of HTML.
export function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return fill(document.createElementNS(space, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// table makes a table. columns have a name and a kind: "" for text, "n" for numbers, "code", "bar" for a part of 1.
export function table(caption, columns, rows) {
  const head = el("tr", {}, ...columns.map(([name, kind]) => el("th", { scope: "col", class: kind === "n" ? "n" : "" }, name)));
  const body = rows.map((row) => el("tr", {}, ...row.map((value, i) => {
    const kind = columns[i][1];
    return el("td", { class: kind }, kind === "bar" ? bar(value) : String(value));
  })));
  const t = el("table", {}, el("thead", {}, head), el("tbody", {}, ...body));
  if (caption) t.prepend(el("caption", {}, caption));
  return t;
}

function bar(part) {
  const width = Math.max(0, Math.min(1, part)) * 100;
  return svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true", class: "c1" },
    svg("rect", { class: "track", width: 100, height: 8 }), svg("rect", { class: "bar", width, height: 8 }));
}

// show replaces what is in a place, but for the fold of its table, which stays as it is: open or closed.
function show(place, caption, drawing, makeTable) {
  let fold = place.querySelector("details");
  if (!fold) {
    fold = el("details", {}, el("summary", {}, "As a table"), el("div"));
    place.append(fold);
  }
  place.replaceChildren(caption, drawing, fold);
  fold.lastElementChild.replaceChildren(...(fold.open ? [makeTable()] : []));
  fold.ontoggle = () => fold.lastElementChild.replaceChildren(...(fold.open ? [makeTable()] : []));
}

// ceiling returns a round number that is not below n, round in powers of a base: half of it is round, too.
function ceiling(n, base) {
  if (!(n > 0)) return 1;
  const unit = base ** Math.floor(Math.log(n) / Math.log(base));
  const steps = base === 10 ? [1, 2, 4, 6, 8, 10] : [1, 2, 4, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800, 1024];
  return (steps.find((m) => m * unit >= n) ?? base) * unit;
}

const height = 190, left = 58, bottom = 22, top = 6;

// frame draws the lines of the grid and their labels.
function frame(width, label, most, format, ends) {
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const part of [0, 0.5, 1]) {
    const y = top + (1 - part) * (height - top - bottom);
    root.append(svg("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }),
      svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, format(part * most)));
  }
  root.append(svg("text", { x: left, y: height - 4 }, ends[0]), svg("text", { x: width, y: height - 4, "text-anchor": "end" }, ends[1]));
  return root;
}

// lines draws figures over time, the newest at the right. series have a name, a color from 1 on, and values: null is a gap.
export function lines(place, title, series, format, room, base = 10) {
  const width = 560;
  const all = series.flatMap((s) => s.values).filter((v) => v !== null);
  const most = ceiling(Math.max(...all, 0), base);
  const last = (s) => s.values.at(-1) ?? null;
  const text = (v) => v === null || v === undefined ? "–" : format(v);
  const label = `${title}: ` + series.map((s) => `${s.name} ${text(last(s))}`).join(", ");
  const root = frame(width, label, most, format, [`${room} s ago`, "now"]);
  const x = (i, n) => width - (n - 1 - i) * (width - left) / room;
  const y = (v) => top + (1 - v / most) * (height - top - bottom);
  for (const [i, s] of series.entries()) {
    const runs = [];
    let run = null;
    s.values.forEach((v, at) => {
      if (v === null) {
        run = null;
        return;
      }
      if (!run) runs.push(run = []);
      run.push([x(at, s.values.length), y(v)]);
    });
    for (const points of runs) {
      const path = points.map(([px, py], at) => `${at ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
      const base = y(0), group = svg("g", { class: `c${s.color}` });
      if (i === 0) group.append(svg("path", { class: "area", d: `${path}L${points.at(-1)[0].toFixed(1)} ${base}L${points[0][0].toFixed(1)} ${base}Z` }));
      group.append(svg("path", { class: "stroke", d: path }));
      root.append(group);
    }
  }
  const caption = el("figcaption", {}, ...series.map((s) => key(s.name, s.color, text(last(s)))));
  const n = Math.max(...series.map((s) => s.values.length));
  show(place, caption, root, () => table(title, [["seconds ago", "n"], ...series.map((s) => [s.name, "n"])],
    Array.from({ length: n }, (_, i) => [i, ...series.map((s) => text(s.values.at(-1 - i)))])));
}

// key is what a color means.
function key(name, color, value) {
  const k = el("span", { class: `key c${color}` });
  k.append(el("span", { class: "c6" }, name), el("b", {}, value));
  return k;
}

// bars draws a figure for each of even steps from now on.
export function bars(place, title, total, values, format, end, stepName, base = 1024) {
  const width = 380;
  const most = ceiling(Math.max(...values, 0), base);
  const root = frame(width, `${title}: ${total}`, most, format, ["now", end]);
  const step = (width - left) / values.length, gap = Math.min(3, step / 5);
  const group = svg("g", { class: "c3" });
  values.forEach((v, i) => {
    const h = v / most * (height - top - bottom);
    if (v > 0) group.append(svg("rect", { class: "bar", x: left + i * step + gap / 2, width: step - gap, y: height - bottom - Math.max(h, 1), height: Math.max(h, 1), rx: 1 }));
  });
  root.append(group);
  show(place, el("figcaption", {}, el("b", {}, title), el("span", {}, total)), root,
    () => table(title, [["from now", ""], ["expires", "n"]], values.map((v, i) => [stepName(i), format(v)])));
}

// stack draws parts of one length: parts have a name, a color and a value.
export function stack(place, title, parts, all, format) {
  const width = 560;
  const root = svg("svg", { viewBox: `0 0 ${width} 34`, role: "img", "aria-label": `${title}: ` + parts.map((p) => `${p.name} ${format(p.value)}`).join(", ") });
  root.append(svg("rect", { class: "track", width, height: 34, rx: 4 }));
  let x = 0;
  for (const p of parts) {
    const w = all > 0 ? p.value / all * width : 0;
    if (w > 0) root.append(svg("g", { class: `c${p.color}` }, svg("rect", { class: "bar", x, width: Math.max(0.5, w - 1), height: 34, rx: Math.min(4, w / 2) })));
    x += w;
  }
  const caption = el("figcaption", {}, ...parts.map((p) => key(p.name, p.color, format(p.value))));
  show(place, caption, root, () => table(title, [["what", ""], ["size", "n"]], parts.map((p) => [p.name, format(p.value)])));
}
