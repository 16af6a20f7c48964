/**
 * Records, by id, by key and caller, or page by page. A key and the caller's credentials are typed into fields that
 * no browser remembers, and go out in a request's body; the address names record ids alone.
 */
import { button, element, panel, recordLink, requestLine, table, time } from "./elements.ts";
import { wordsOf } from "./notice.ts";
import { port, Refused, type Search } from "./port.ts";
import { story } from "./story.ts";
import type { View } from "./view.ts";
import type { RecordPage, RecordStory, Routes, RecordView } from "./wire.ts";
import { shortId } from "./words.ts";

const PAGE = "50";
const RECORD_ID = /^[0-9a-f]{64}$/;

export interface RecordsActs {
  /** Whether the port shows recorded answers at all. */
  readonly showAnswers: () => boolean;
  readonly settled: (id: string) => void;
}

export function recordsView({ showAnswers, settled }: RecordsActs): View {
  const found = element("div", { role: "region", "aria-live": "polite", "aria-label": "Found" });
  const put = (...nodes: readonly Node[]): void => {
    found.replaceChildren(...nodes);
    if (nodes.length > 0) found.scrollIntoView({ block: "nearest" });
  };
  const show = (record: RecordStory): void => {
    const again = (): void => {
      settled(record.id);
      void open(record.id);
    };
    put(story(record, showAnswers(), again));
  };
  const fail = (error: unknown): void => put(element("p", { class: "notice" }, wordsOf(error)));

  async function open(id: string): Promise<void> {
    try {
      show(await port.record(id));
    } catch (error) {
      fail(error);
    }
  }

  async function search(wanted: Search): Promise<void> {
    try {
      const { records } = await port.search(wanted);
      const [only] = records;
      if (only !== undefined && records.length === 1) return await open(only.id);
      const none =
        "No record. The key was not used by this caller, was released or forgotten, or its retention is over. Are all credentials given, as the caller sends them?";
      put(only === undefined ? element("p", { class: "notice" }, none) : listOf(records));
    } catch (error) {
      fail(error);
    }
  }

  const form = element("div");
  const byId = idForm();
  const all = browser();
  return {
    title: "Records",
    node: element("div", {}, found, element("div", { class: "searches" }, byId, form), all.node),
    enter(rest) {
      if (form.childElementCount === 0) {
        void port.routes().then((routes) => form.replaceChildren(keyForm(routes, search)), fail);
        all.load();
      }
      if (rest !== "") void open(rest);
      else put();
    },
  };
}

/** An id is no secret: it may stand in the address, and so in the history. */
function idForm(): HTMLElement {
  const field = element("input", {
    id: "record-id",
    class: "mono",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "64 hex digits, as in Idempotency-Record",
  });
  const fault = element("p", { class: "fault", role: "alert" });
  const submit = (event: Event): void => {
    event.preventDefault();
    const id = field.value.trim().replace(/^urn:idempotency-gateway:record:/, "");
    fault.textContent = RECORD_ID.test(id) ? "" : "A record id is 64 lower-case hex digits.";
    if (RECORD_ID.test(id)) location.hash = `#/records/${id}`;
  };
  return panel(
    "By record id",
    element(
      "form",
      { submit },
      element("label", { for: "record-id" }, "Record id"),
      field,
      fault,
      element("button", { type: "submit", class: "primary" }, "Show"),
    ),
  );
}

function keyForm(routes: Routes, search: (wanted: Search) => Promise<void>): HTMLElement {
  const policies = [...routes.routes, routes.defaults];
  const names = [...new Set(policies.flatMap(({ scope }) => scope?.headers ?? []))];
  const choice = element(
    "select",
    { id: "search-route", change: () => drawKeys() },
    element("option", { value: "" }, "any"),
    ...routes.routes.map(({ name }) => element("option", { value: name }, name)),
    element("option", { value: "default" }, "default"),
  );
  const keys = element("div");
  const drawKeys = (): void => {
    const { key } = routes.routes.find(({ name }) => name === choice.value) ?? routes.defaults;
    const labels = key?.from === "body" && key.pointers ? key.pointers : [undefined];
    keys.replaceChildren(
      ...labels.map((pointer, at) =>
        secretField(`search-key-${at}`, pointer === undefined ? "Key" : `Key: ${pointer}`, "text"),
      ),
    );
  };
  drawKeys();
  const scopes = names.map((name, at) => ({
    name,
    field: secretField(`search-scope-${at}`, name, "password"),
  }));
  const submit = (event: Event): void => {
    event.preventDefault();
    const given = scopes
      .map(({ name, field }) => [name, valueOf(field)] as const)
      .filter(([, value]) => value !== "");
    void search({
      key: [...keys.children].map(valueOf),
      headers: Object.fromEntries(given),
      ...(choice.value !== "" && { route: choice.value }),
    });
  };
  return panel(
    "By key and caller",
    element(
      "form",
      { submit, autocomplete: "off", class: "fields" },
      element("div", {}, element("label", { for: "search-route" }, "Route"), choice),
      keys,
      element(
        "p",
        { class: "faint" },
        "A key belongs to the caller who sent it. Fill in the credentials as the caller sends them; what is left empty was not sent.",
      ),
      ...scopes.map(({ field }) => field),
      element("button", { type: "submit", class: "primary" }, "Search"),
    ),
  );
}

function valueOf(field: Element): string {
  return field.querySelector("input")?.value ?? "";
}

/** Neither kept nor corrected nor offered again by the browser. */
function secretField(id: string, label: string, type: "text" | "password"): HTMLElement {
  return element(
    "div",
    {},
    element("label", { for: id }, label),
    element("input", {
      id,
      type,
      class: "mono",
      autocomplete: type === "password" ? "new-password" : "off",
      autocapitalize: "none",
      spellcheck: "false",
    }),
  );
}

/** All records, a page at a time, in the store's order. */
function browser(): { readonly node: HTMLElement; readonly load: () => void } {
  const list = element("div");
  const more = element("div", { class: "actions" });
  let records: RecordView[] = [];
  const state = element(
    "select",
    { id: "state", change: () => void load() },
    ...["", "in-flight", "completed", "unknown"].map((each) =>
      element("option", { value: each }, each === "" ? "any state" : each),
    ),
  );

  async function load(cursor?: string): Promise<void> {
    const wanted = state.value;
    try {
      const page = await port.records({
        limit: PAGE,
        ...(wanted !== "" && { state: wanted }),
        ...(cursor !== undefined && { cursor }),
      });
      if (state.value === wanted) put(page, cursor === undefined);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      more.replaceChildren(element("p", { class: "notice" }, error.message));
    }
  }

  function put({ records: next, damaged = [], cursor }: RecordPage, first: boolean): void {
    records = [...(first ? [] : records), ...next];
    list.replaceChildren(
      records.length === 0 ? element("p", { class: "empty" }, "None so far.") : listOf(records),
      ...(damaged.length === 0
        ? []
        : [element("p", { class: "problem" }, `Damaged: ${damaged.map(shortId).join(", ")}`)]),
    );
    more.replaceChildren(
      cursor === undefined
        ? element("span", { class: "faint" }, "That is all.")
        : button("More", () => void load(cursor)),
    );
  }

  const node = panel(
    "All records",
    element(
      "div",
      { class: "actions" },
      element("label", { for: "state" }, "State"),
      state,
      button("Load again", () => void load()),
    ),
    list,
    more,
  );
  return { node, load: () => void load() };
}

function listOf(records: readonly RecordView[]): HTMLElement {
  return table(
    "Records",
    [
      { label: "Record" },
      { label: "State" },
      { label: "Route" },
      { label: "Request" },
      { label: "Status", number: true },
      { label: "Created" },
    ],
    records.map((record) => [
      recordLink(record.id),
      element("span", { class: `state ${record.state}` }, record.state),
      record.route,
      requestLine(record.method, record.path, record.query),
      String(record.status ?? record.reason ?? "–"),
      time(record.createdAt),
    ]),
  );
}
