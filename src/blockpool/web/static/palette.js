// The colours of the map. Twelve hues that differ in brightness too, each at least 3 : 1 against a free block.

const LIGHT = {
  free: "#e3e8ee",
  line: "#ffffff",
  text: "#17202a",
  cursor: "#000000",
  holders: [
    "#0067a8",
    "#c24a00",
    "#1a7a4c",
    "#a8327a",
    "#786400",
    "#3a2a96",
    "#00808a",
    "#85214f",
    "#84501f",
    "#c8404f",
    "#557a00",
    "#7358cc",
  ],
  catalog: "#47525e",
  message: "#6a7683",
  tickets: "#11161c",
  nobody: "#d00000",
  // From young to old: cividis, without its ends that would not be seen.
  ages: ["#8c8344", "#7f7b55", "#6c6e72", "#575d6d", "#434e6c", "#2a3f6d", "#00306f", "#00224e"],
};

const DARK = {
  free: "#262e38",
  line: "#12171d",
  text: "#e8edf2",
  cursor: "#ffffff",
  holders: [
    "#56b4e9",
    "#f08a3c",
    "#4fc78a",
    "#ee82b6",
    "#f0e050",
    "#a29bff",
    "#3fd0c9",
    "#ff8078",
    "#cfa274",
    "#ffc2d0",
    "#b5dd5c",
    "#c9a6f5",
  ],
  catalog: "#aeb9c4",
  message: "#84919e",
  tickets: "#ffffff",
  nobody: "#ff4d4d",
  ages: ["#fee838", "#e4cf5b", "#c8b866", "#aea371", "#969078", "#8a8d93", "#7888b0", "#6c85c8"],
};

// Holders from here on are no slots: the catalog, messages, tickets, and nobody.
export const CATALOG = 4096;
export const NOBODY = 4099;

/** Whether the page is dark now. */
export function isDark() {
  const chosen = document.documentElement.dataset.scheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The colours that fit the page. */
export function palette() {
  return isDark() ? DARK : LIGHT;
}

/** "#rrggbb" as [red, green, blue]. */
export function channels(colour) {
  const value = parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The colour of a holder: slots beyond the hues use them again, with another pattern. */
export function holderColour(colours, holder) {
  if (holder < CATALOG) return colours.holders[holder % colours.holders.length];
  return [colours.catalog, colours.message, colours.tickets][holder - CATALOG] ?? colours.nobody;
}

/** Which pattern a holder's blocks have: 0 none, 1 and 2 stripes, 3 dots. */
export function holderPattern(colours, holder) {
  return holder < CATALOG ? Math.floor(holder / colours.holders.length) % 4 : 0;
}

/** A sign of at most two characters that says in a block who holds it. */
export function holderSign(holder) {
  if (holder >= CATALOG) return ["k", "m", "t"][holder - CATALOG] ?? "?";
  if (holder < 26) return String.fromCharCode(65 + holder);
  return holder < 702 ? String.fromCharCode(64 + Math.floor(holder / 26), 65 + (holder % 26)) : "…";
}

/** The colour of an age as the map encodes it: 16 times the logarithm of 1 + seconds, at most 255. */
export function ageColour(colours, age) {
  const at = (age / 255) * (colours.ages.length - 1);
  const low = Math.min(Math.floor(at), colours.ages.length - 2);
  const [from, to] = [channels(colours.ages[low]), channels(colours.ages[low + 1])];
  return from.map((value, i) => Math.round(value + (to[i] - value) * (at - low)));
}

/** The relative luminance of a colour, as the Web Content Accessibility Guidelines define it. */
export function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The contrast of two colours, 1 to 21. */
export function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, which is read best on a colour. */
export function ink(rgb) {
  return luminance(rgb) > 0.18 ? "#000000" : "#ffffff";
}
