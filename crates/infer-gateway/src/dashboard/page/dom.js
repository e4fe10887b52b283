// Making elements, and changing shown ones into new ones without losing focus, selection or what is unfolded.

/** An element. `props`: attributes; `style` is an object of CSS properties; children are nodes or text, null is skipped. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'style') {
      for (const [property, is] of Object.entries(value)) element.style.setProperty(property, is);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const $ = (id) => document.getElementById(id);

/** Makes what `shown` contains the same as `nodes`. */
export function fill(shown, ...nodes) {
  const wanted = document.createElement('div');
  wanted.append(...nodes.flat().filter((node) => node !== null && node !== undefined && node !== false));
  children(shown, wanted);
}

/** Changes the text only if it is another, so that nothing is read out twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function children(shown, wanted) {
  const keyed = new Map();
  for (const child of shown.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let place = shown.firstChild;
  for (const next of [...wanted.childNodes]) {
    const known = next.dataset?.key ? keyed.get(next.dataset.key) : undefined;
    if (known && known !== place) shown.insertBefore(known, place);
    const current = known ?? (place?.dataset?.key ? null : place);
    if (current && current.nodeName === next.nodeName) {
      if (current === place) place = place.nextSibling;
      become(current, next);
    } else {
      shown.insertBefore(next, place);
    }
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}

function become(shown, wanted) {
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== wanted.data) shown.data = wanted.data;
    return;
  }
  for (const { name } of [...shown.attributes]) {
    // What is unfolded was unfolded by the reader.
    if (!wanted.hasAttribute(name) && name !== 'open' && name !== 'style') shown.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (name !== 'style' && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  // Not as an attribute: the page's own policy forbids inline styles.
  if (shown.style.cssText !== wanted.style.cssText) shown.style.cssText = wanted.style.cssText;
  children(shown, wanted);
}
