/* Small tools for the document. */

export const at = (id) => document.getElementById(id);

/** Return a new element with children (nodes or strings) and a class. */
export function element(tag, children = [], style = "") {
  const node = document.createElement(tag);
  node.append(...[children].flat());
  if (style) node.className = style;
  return node;
}

/** Return foreign text, such as a file name, isolated from the direction of the text around it. */
export const foreign = (text) => element("bdi", text);
