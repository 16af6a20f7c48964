/**
 * Builds the page one element at a time. Texts become text nodes and never markup, whoever chose them: that is all
 * there is against a key or a path that looks like a script, and the page's policy forbids the rest.
 */
import { relative, shortId, visible } from "./words.ts";

type Child = Node | string | undefined;

type Attributes = Readonly<
  Record<string, string | number | boolean | undefined | ((event: Event) => void)>
>;

/** A function is a listener of the event that the attribute names; `false` and `undefined` leave it out. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  dress(made, attributes);
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function shape<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly Node[]
): SVGElementTagNameMap[Name] {
  const made = document.createElementNS(SVG, name);
  dress(made, attributes);
  made.append(...children);
  return made;
}

function dress(made: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
}

export function button(
  label: string,
  act: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  return element("button", { type: "button", ...attributes, click: act }, label);
}

/** Kept up to date by `tickTimes`. */
export function time(at: string): HTMLTimeElement {
  const made = element("time", { datetime: at, title: at });
  made.textContent = relative(Date.parse(at), Date.now());
  return made;
}

/** Once a second, so that "12 s ago" does not stand still. */
export function tickTimes(): void {
  const nowMs = Date.now();
  for (const each of document.querySelectorAll("time")) {
    const text = relative(Date.parse(each.dateTime), nowMs);
    if (each.textContent !== text) each.textContent = text;
  }
}

export function recordLink(id: string): HTMLAnchorElement {
  return element("a", { href: `#/records/${id}`, class: "mono", title: id }, shortId(id));
}

/** What a request asked for: words of a client's choice. */
export function requestLine(method: string, path: string, query: boolean): HTMLElement {
  return element(
    "span",
    { class: "mono request" },
    element("b", {}, visible(method)),
    ` ${visible(path)}${query ? "?…" : ""}`,
  );
}

export interface Column {
  readonly label: string;
  /** Right-aligned, digits below digits. */
  readonly number?: true;
}

/** On a narrow screen its rows become cards, where each cell says its column. */
export function table(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly (Node | string)[])[],
): HTMLTableElement {
  const kind = (column: Column | undefined): Attributes => ({
    class: column?.number === true && "number",
  });
  return element(
    "table",
    {},
    element("caption", { class: "unseen" }, caption),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ...columns.map((each) => element("th", { scope: "col", ...kind(each) }, each.label)),
      ),
    ),
    element(
      "tbody",
      {},
      ...rows.map((row) =>
        element(
          "tr",
          {},
          ...row.map((cell, at) =>
            element("td", { "data-label": columns[at]?.label ?? "", ...kind(columns[at]) }, cell),
          ),
        ),
      ),
    ),
  );
}

export function panel(title: string, ...children: readonly Child[]): HTMLElement {
  return element("section", { class: "panel" }, element("h2", {}, title), ...children);
}
