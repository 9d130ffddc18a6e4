/* Where images come from: drop, paste, file dialog, and the examples of the page. */

import { at, element } from "./dom.js";
import { findingName, text } from "./texts.js";

/** Call `add(files)` with the files that the user drops, pastes or chooses, and `empty()` for a drop without files. */
export function listenForFiles(add, empty) {
  const input = at("files");
  const target = at("target");
  for (const id of ["choose", "add"]) at(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = ""; // the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add([...event.clipboardData.files]);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) target.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    target.hidden = true;
    const files = [...event.dataTransfer.files];
    if (files.length) add(files);
    else empty();
  });
}

/** Offer the examples that `<meta name="examples">` names, if the page has some.
 *
 * The file is a list of {file, findings}. `add(files)` and `fail(message)` are called on a click.
 */
export async function offerExamples(add, fail) {
  const list = document.querySelector("meta[name=examples]")?.content;
  if (!list) return;
  const examples = await (await fetch(list)).json();
  at("example-list").replaceChildren(...examples.map((example) => exampleItem(example, add, fail)));
  at("examples").hidden = examples.length === 0;
}

function exampleItem({ file, findings }, add, fail) {
  const image = element("img");
  Object.assign(image, { src: file, alt: "", loading: "lazy" });
  const button = element("button", [image, element("span", findings.map(findingName).join(", ") || text("normal"))]);
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      const response = await fetch(file);
      if (!response.ok) throw new Error(response.statusText);
      add([new File([await response.blob()], file)]);
    } catch {
      fail(text("examplesFailed"));
    }
  });
  return element("li", button);
}
