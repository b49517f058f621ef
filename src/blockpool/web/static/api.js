// Asks the server. What it refuses becomes an ApiError with its status and message.

export class ApiError extends Error {
  constructor(status, name, message) {
    super(message);
    this.status = status; // 0: the server does not answer
    this.name = name;
  }
}

let token = document.querySelector('meta[name="blockpool-token"]').content;

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "Unreachable", "The server does not answer.");
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && body !== null) return body;
  throw new ApiError(
    response.status,
    body?.error ?? "Error",
    body?.message ?? `The server answered ${response.status}.`,
  );
}

/** Return the JSON of an address below api/. */
export function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  return answer(`api/${path}${query && "?"}${query}`, { signal, cache: "no-store" });
}

/** Ask for a change. A server that was started again has another token, which its page says. */
export async function post(path, body) {
  const ask = () =>
    answer(`api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Blockpool-Token": token },
      body: JSON.stringify(body),
    });
  try {
    return await ask();
  } catch (error) {
    if (error.status !== 403) throw error;
    const page = new DOMParser().parseFromString(await (await fetch("./", { cache: "no-store" })).text(), "text/html");
    const found = page.querySelector('meta[name="blockpool-token"]')?.content;
    if (!found || found === token) throw error;
    token = found;
    return ask();
  }
}

/** The address of a pool's events. */
export function eventsOf(id, perSecond) {
  return `api/pools/${encodeURIComponent(id)}/events?rate=${perSecond}`;
}
