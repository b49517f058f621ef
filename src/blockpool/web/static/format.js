// Numbers, sizes and times as people write them.

const whole = new Intl.NumberFormat("en");
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1234567 → "1,234,567". */
export function count(value) {
  return value === null || value === undefined ? "–" : whole.format(value);
}

/** A number of things with their name: "1 block", "3 blocks". */
export function things(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Bytes with a unit: "4 KiB", "38.1 GiB". */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let at = 0;
  while (value >= 1024 && at < UNITS.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${Number(value.toPrecision(value >= 1000 ? 4 : 3))} ${UNITS[at]}`;
}

/** A share of 1 in percent; never 0 % or 100 % for what only nearly is. */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value < 100 && value > 99.9) return "> 99.9 %";
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(Math.min(value, value < 100 ? 99 : 100))} %`;
}

/** Seconds as a time with one or two units: "0.3 s", "2 min 5 s", "3 d 4 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0005) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const s = Math.round(seconds);
  const two = (a, one, b, other) => (b ? `${a} ${one} ${b} ${other}` : `${a} ${one}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

/** A time since the epoch as its age. */
export function since(time, now = Date.now() / 1000) {
  return time === null || time === undefined ? "–" : duration(Math.max(0, time < now ? now - time : 0));
}

/** Something per second: "1.5 /s", "12,000 /s". */
export function rate(value) {
  return `${value >= 100 ? count(Math.round(value)) : Number((value ?? 0).toPrecision(2))} /s`;
}

/** The blocks from `first` on: "block 5" or "blocks 5–9". */
export function blocks(first, number) {
  return number === 1 ? `block ${count(first)}` : `blocks ${count(first)}–${count(first + number - 1)}`;
}

/** Text from outside with its control characters, and those that turn the direction of text, made visible. */
export function printable(text) {
  // eslint-disable-next-line no-control-regex
  return String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (character) => {
      const code = character.codePointAt(0);
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    },
  );
}

/** The id of a process, which it has once it is attached. */
export function shownPid(pid) {
  return pid === null ? "attaching" : String(pid);
}

/** What to call a process: its id and the start of its command. */
export function process(info) {
  return `${shownPid(info.pid)} ${printable(info.command)}`.trim();
}

/** A command line without the folders of its paths, cut to so many characters. */
export function command(info, most) {
  const text = printable(info.command)
    .split(" ")
    .map((word) => (word.startsWith("/") ? word.slice(word.lastIndexOf("/") + 1) : word))
    .join(" ");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** What to call a pool. */
export function poolName(pool) {
  return pool.name ? printable(pool.name) : pool.pool_id ? `unnamed ${pool.pool_id.slice(0, 8)}` : "unnamed";
}
