/* Engine of a page that a server delivers: images are sent to the computer that serves the page, and computed there.
 *
 * A server that needs a token answers with status 401. The token is then typed into a dialog and kept until the tab is
 * closed. It is sent in a header, never in an address. Progress is {stage, fraction}, see page.js.
 */

import { language } from "./texts.js";

const TOKEN = "chexnet-token";
const UNREACHABLE = "The server does not answer: check that it is still running, then try again.";
const TEXTS = {
  en: { title: "This server needs a token", label: "Token", wrong: "The token is wrong.", send: "OK", cancel: "Cancel" },
  zh: { title: "需要访问令牌", label: "令牌", wrong: "令牌不正确。", send: "确定", cancel: "取消" },
};

const storage = () => globalThis.sessionStorage;

async function request(path, options = {}) {
  const token = storage()?.getItem(TOKEN);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  try {
    return await fetch(path, { ...options, headers });
  } catch {
    throw new Error(UNREACHABLE);
  }
}

/** Ask for the token in a dialog; resolves to an empty string if the user cancels. */
function askToken(wrong) {
  const texts = TEXTS[language()];
  const dialog = document.createElement("dialog");
  const form = document.createElement("form");
  const title = document.createElement("h2");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const error = document.createElement("p");
  const buttons = ["cancel", "send"].map((value) => {
    const button = document.createElement("button");
    button.type = value === "send" ? "submit" : "button";
    button.textContent = texts[value];
    return button;
  });
  title.textContent = texts.title;
  title.id = "token-title";
  dialog.setAttribute("aria-labelledby", title.id);
  label.textContent = `${texts.label} `;
  input.type = "password";
  input.autocomplete = "off";
  input.required = true;
  error.setAttribute("role", "alert");
  error.className = "error";
  error.textContent = wrong ? texts.wrong : "";
  error.hidden = !wrong;
  label.append(input);
  Object.assign(form.style, { display: "grid", gap: ".75rem" });
  Object.assign(dialog.style, { border: "1px solid var(--control)", borderRadius: ".5rem", background: "var(--card)" });
  dialog.style.color = "inherit";
  const row = document.createElement("div");
  Object.assign(row.style, { display: "flex", gap: ".5rem", justifyContent: "end" });
  row.append(...buttons);
  form.append(title, label, error, row);
  dialog.append(form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    const close = (token) => {
      dialog.remove();
      resolve(token.trim());
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close(input.value);
    });
    buttons[0].addEventListener("click", () => close(""));
    dialog.addEventListener("cancel", () => close(""));
    dialog.showModal();
  });
}

async function authorized(path, options) {
  let response = await request(path, options);
  while (response.status === 401) {
    const wrong = storage().getItem(TOKEN) !== null;
    storage().removeItem(TOKEN);
    const token = await askToken(wrong);
    if (!token) throw new Error("This server needs a token: reload the page and enter it, or ask who runs the server.");
    storage().setItem(TOKEN, token.replace(/[^\x21-\x7e]/g, ""));
    response = await request(path, options);
  }
  return response;
}

async function answer(path, options) {
  const response = await authorized(path, options);
  let content;
  try {
    content = await response.json();
  } catch {
    throw new Error(response.ok ? UNREACHABLE : `The server refused the request with status ${response.status}.`);
  }
  if (response.ok) return content;
  const wait = response.headers.get("Retry-After");
  throw Object.assign(new Error(content.detail ?? `The server refused the request with status ${response.status}.`), {
    retryAfter: response.status === 429 && wait ? Number(wait) : null,
  });
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** Predict an image; if the queue of the server is full, wait as long as it says, five times at most. */
async function predictWithRetries(options, onProgress, retries = 5) {
  onProgress({ stage: "upload", fraction: null });
  try {
    return await answer("v1/predict?maps=all&gray=true", options);
  } catch (error) {
    if (!error.retryAfter || retries === 0) throw error;
    onProgress({ stage: "wait", fraction: null });
    await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter));
    return predictWithRetries(options, onProgress, retries - 1);
  }
}

export default async function createEngine(onProgress = () => {}) {
  onProgress({ stage: "wait", fraction: null });
  const model = await answer("v1/model");
  return {
    model,
    async predict(file, onProgress = () => {}) {
      if (file.size > model.max_bytes) {
        throw new Error(`The file has ${file.size} bytes; the server takes at most ${model.max_bytes}.`);
      }
      let body;
      try {
        body = await file.arrayBuffer();
      } catch {
        throw new Error("The browser cannot read the file: choose it again.");  // a folder, or a deleted file
      }
      const headers = { "Content-Type": "application/octet-stream" };
      const { results } = await predictWithRetries({ method: "POST", body, headers }, onProgress);
      const { maps, gray, index, ...result } = results[0];
      return {
        ...result,
        name: file.name,
        gray: new Blob([bytes(gray)], { type: "image/png" }),
        samples: null,
        maps: async (name) => (maps[name] ? { ...maps[name], opacity: bytes(maps[name].opacity) } : null),
      };
    },
  };
}
