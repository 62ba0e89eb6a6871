/** Two short ways to the document. */

/** Change a text only if it differs: every change costs the browser a layout. */
export function write(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

export function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
