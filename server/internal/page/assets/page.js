// Asks for figures each second and draws them. Totals become rates by the server's own clock.

import { bars, el, lines, stack, table } from "./charts.js";
import { bytes, clock, percent, short, time, whole } from "./words.js";

const room = 120; // samples that are kept
const history = { rate: [], errors: [], p50: [], p99: [], process: [], database: [] };
let last = null; // the newest answer
let per = new Map(); // commands by name, a second
let samples = 0;

const at = (id) => document.getElementById(id);
const say = (id, text) => { at(id).textContent = text; };

// What goes wrong is told on the page, too, for who cannot see the console.
function note(what) {
  const root = document.documentElement;
  root.dataset.errors = (root.dataset.errors || "") + what + "\n";
}
addEventListener("error", (e) => note(e.message));
addEventListener("unhandledrejection", (e) => note(String(e.reason)));
document.addEventListener("securitypolicyviolation", (e) => note(`blocked: ${e.violatedDirective} ${e.blockedURI}`));

// ask gets figures. The address is made from the origin: the page's own may have a password in it.
async function ask(name) {
  const answer = await fetch(new URL(name, location.origin), { cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.json();
}

// every repeats work while the page is seen, a pause after it has ended, whether well or not.
function every(pause, work) {
  const turn = async () => {
    if (!document.hidden) await work();
    setTimeout(turn, pause);
  };
  turn();
}

async function live() {
  let now;
  try {
    now = await ask("live.json");
  } catch {
    state("lost", "no answer");
    push({});
    last = null;
    return;
  }
  if (now.server && last && last.server && now.now > last.now && now.server.started === last.server.started) rates(last, now);
  last = now;
  document.body.dataset.samples = ++samples;
  draw(now);
}

function push(values) {
  for (const [name, list] of Object.entries(history)) {
    list.push(values[name] ?? null);
    if (list.length > room) list.shift();
  }
}

// rates adds what has happened between two answers to the history.
function rates(before, now) {
  const seconds = (now.now - before.now) / 1000;
  const delta = (a, b) => Math.max(0, b - a) / seconds;
  const old = new Map(before.server.per_command.map((c) => [c.name, c]));
  const latency = new Array(now.server.latency_bounds.length + 1).fill(0);
  per = new Map();
  for (const c of now.server.per_command) {
    const was = old.get(c.name);
    per.set(c.name, delta(was ? was.calls : 0, c.calls));
    c.latency.forEach((n, i) => { latency[i] += Math.max(0, n - (was ? was.latency[i] : 0)); });
  }
  push({
    rate: delta(before.server.commands, now.server.commands),
    errors: delta(before.server.errors, now.server.errors),
    p50: quantile(latency, now.server.latency_bounds, 0.5),
    p99: quantile(latency, now.server.latency_bounds, 0.99),
    process: now.db && now.db.memory.process,
    database: now.db && inDatabase(now.db.memory),
  });
}

const inDatabase = (m) => m.memtables + m.cache + m.indexes + m.upcoming;

// quantile returns about the time, in seconds, that a part of what buckets count took at most; null if they count nothing.
function quantile(counts, bounds, part) {
  const all = counts.reduce((a, b) => a + b, 0);
  let left = part * all;
  for (let i = 0; i < counts.length && all > 0; i++) {
    if (left <= counts[i]) {
      const from = i > 0 ? bounds[i - 1] : 0, to = bounds[Math.min(i, bounds.length - 1)];
      return from + (to - from) * left / counts[i];
    }
    left -= counts[i];
  }
  return null;
}

function state(name, text) {
  at("state").className = `badge ${name}`;
  say("state", text || name);
}

function draw(now) {
  state(now.trouble ? "trouble" : now.state, now.trouble ? "trouble" : now.state);
  at("trouble").hidden = !now.trouble;
  say("trouble", now.trouble);
  const about = now.about;
  say("dir", about.dir);
  const up = now.server ? `, up ${time((now.now - now.server.started) / 1000)}` : "";
  say("about", `at ${about.listen}, sync ${about.sync}${about.version ? ", " + about.version : ""}${up}`);
  document.title = `ebbd ${about.listen}`;
  if (now.server) drawServer(now.server, about);
  if (now.db) drawDB(now.db, about);
}

const newest = (list) => list.findLast((v) => v !== null);

function drawServer(s, about) {
  const rate = newest(history.rate), p50 = newest(history.p50), p99 = newest(history.p99);
  say("rate", rate === undefined ? "–" : short(rate));
  say("p99", p99 === undefined ? "–" : time(p99));
  say("p50", p50 === undefined ? "" : `half within ${time(p50)}`);
  say("clients", whole(s.clients));
  say("clients-of", `of ${whole(about.max_clients)}, ${whole(s.limited)} limited`);
  say("hits", percent(s.hits, s.hits + s.misses));
  say("hits-of", `${whole(s.misses)} misses`);
  lines(at("throughput"), "Commands a second", [
    { name: "commands a second", color: 1, values: history.rate },
    { name: "errors a second", color: 5, values: history.errors }], short, room);
  lines(at("latency"), "Latency", [
    { name: "99 of 100 within", color: 2, values: history.p99 },
    { name: "half within", color: 1, values: history.p50 }], time, room);
  const busy = [...s.per_command].sort((a, b) => (per.get(b.name) || 0) - (per.get(a.name) || 0) || b.calls - a.calls).slice(0, 12);
  at("commands").replaceChildren(busy.length === 0 ? el("p", { class: "note" }, "none yet") :
    table("", [["command", "code"], ["a second", "n"], ["calls", "n"], ["failed", "n"], ["mean", "n"], ["p99", "n"]], busy.map((c) => [
      c.name.replace("|", " "), short(per.get(c.name) || 0), whole(c.calls), whole(c.failed), time(c.calls ? c.seconds / c.calls : 0),
      time(quantile(c.latency, s.latency_bounds, 0.99) || 0)])));
  at("slow").replaceChildren(s.slow.length === 0 ? el("p", { class: "note" }, "none") :
    table("", [["when", ""], ["took", "n"], ["command", "code"], ["client", "code line"]],
      s.slow.map((e) => [clock(e.at), time(e.seconds), e.command, e.client])));
}

function drawDB(db, about) {
  say("entries", short(db.entries));
  say("deadlines", `about; ${short(db.expiry.with_deadline)} expire`);
  say("disk", bytes(db.disk.all));
  say("disk-of", `log ${bytes(db.disk.log)}`);
  const m = db.memory;
  const parts = [
    { name: "memtables", color: 1, value: m.memtables }, { name: "cache", color: 3, value: m.cache },
    { name: "indexes", color: 2, value: m.indexes }, { name: "expiring next", color: 4, value: m.upcoming }];
  parts.push({ name: "else in the process", color: 6, value: Math.max(0, m.process - inDatabase(m)) });
  stack(at("memory"), `Memory, of which the database may take ${bytes(about.memory)}`, parts, Math.max(about.memory, m.process), bytes);
  lines(at("memory-line"), "Memory", [
    { name: "process", color: 6, values: history.process },
    { name: "database", color: 1, values: history.database }], bytes, room, 1024);
  const largest = Math.max(...db.levels.map((l) => l.bytes), 1);
  at("levels").replaceChildren(table("", [["level", ""], ["tables", "n"], ["size", "n"], ["entries", "n"], ["", "bar"]],
    db.levels.map((l, i) => [i, l.tables, bytes(l.bytes), short(l.entries), l.bytes / largest])));
  const w = db.writes;
  say("levels-note", `${whole(w.flushes)} flushes, ${whole(w.compactions)} compactions, ${w.amplification.toFixed(1)} bytes written for each put; ` +
    `writes slowed for ${time(w.slowed)} and stopped for ${time(w.stopped)}`);
  const e = db.expiry;
  say("expiry-note", (e.lag > 0 ? `Expired and not removed yet: ${bytes(e.expired_bytes)} or a little more, the first for ${time(e.lag)}. ` : "Nothing that has expired is left. ") +
    `Removed so far: ${whole(e.removed)} entries; ${whole(e.dropped_tables)} tables of ${bytes(e.dropped_bytes)} were dropped unread.`);
}

async function expiring() {
  let report;
  try {
    report = await ask("expiring.json");
  } catch {
    return; // live tells
  }
  for (const span of report.spans) {
    const sum = (list) => list.reduce((a, b) => a + b, 0);
    const step = span.seconds / span.bytes.length;
    const name = span.name === "hour" ? "an hour" : `a ${span.name}`;
    bars(at(`expires-${span.name}`), `Within ${name}`, `${bytes(sum(span.bytes))}, ${short(sum(span.entries))} keys`, span.bytes, bytes, `in ${name}`,
      (i) => `${time(i * step)} to ${time((i + 1) * step)}`);
  }
  document.body.dataset.expiring = "drawn";
}

async function prefixes() {
  let report;
  try {
    report = await ask("prefixes.json");
  } catch {
    return;
  }
  at("prefixes").replaceChildren(report.prefixes.length === 0 ? el("p", { class: "note" }, "none that is large") :
    table("", [["prefix", "code"], ["size", "n"], ["keys", "n"], ["share", "n"], ["", "bar"]],
      report.prefixes.map((p) => [p.prefix, bytes(p.bytes), short(p.entries), percent(p.bytes, report.bytes), p.bytes / report.bytes])));
  document.body.dataset.prefixes = "drawn";
}

every(1000, live);
every(2000, expiring);
every(10000, prefixes);
