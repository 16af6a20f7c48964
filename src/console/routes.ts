/** The routes in their order, each with the policy that is in force: what it changes of the defaults, then the rest. */
import { element, panel } from "./elements.ts";
import { wordsOf } from "./notice.ts";
import { port } from "./port.ts";
import type { View } from "./view.ts";
import type { PolicyView, Routes } from "./wire.ts";
import { visible } from "./words.ts";

export function routesView(): View {
  const list = element("div");
  return {
    title: "Routes",
    node: list,
    enter() {
      void port.routes().then(
        (routes) => list.replaceChildren(...contents(routes)),
        (error: unknown) => list.replaceChildren(element("p", { class: "notice" }, wordsOf(error))),
      );
    },
  };
}

function contents({ defaults, routes }: Routes): readonly Node[] {
  const inherited = settingsOf(defaults);
  return [
    ...routes.map(({ name, match, ...policy }) => {
      const methods = match.methods.length === 0 ? "every unsafe method" : match.methods.join(" ");
      return routePanel(name, `${methods}  ${match.path}`, settingsOf(policy), inherited);
    }),
    routePanel("default", "what no route matches and carries a key", inherited, inherited),
  ];
}

/** Path of a setting to its value, as text. */
type Settings = ReadonlyMap<string, string>;

function settingsOf(policy: PolicyView): Settings {
  return new Map(flatten("", policy));
}

function flatten(path: string, value: unknown): readonly (readonly [string, string])[] {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const members = Object.entries(value);
    if (members.length > 0) {
      return members.flatMap(([name, member]) =>
        flatten(path === "" ? name : `${path}.${name}`, member),
      );
    }
  }
  return [[path, wordOf(value)]];
}

function wordOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "–" : value.map(String).join(", ");
  if (value === "" || (typeof value === "object" && value !== null)) return "–";
  return String(value);
}

function routePanel(name: string, match: string, own: Settings, inherited: Settings): HTMLElement {
  const differs = ([path, value]: readonly [string, string]): boolean =>
    inherited.get(path) !== value;
  const changed = [...own].filter(differs);
  const same = [...own].filter((setting) => !differs(setting));
  return panel(
    name,
    element("p", { class: "mono" }, visible(match)),
    changed.length === 0 ? undefined : settingsList(changed, "facts changed"),
    element(
      "details",
      { open: changed.length === 0 },
      element(
        "summary",
        {},
        changed.length === 0 ? `${same.length} settings` : `${same.length} settings as in defaults`,
      ),
      settingsList(same, "facts"),
    ),
  );
}

function settingsList(settings: readonly (readonly [string, string])[], kind: string): HTMLElement {
  return element(
    "dl",
    { class: kind },
    ...settings.map(([path, value]) =>
      element("div", {}, element("dt", {}, path), element("dd", {}, visible(value))),
    ),
  );
}
