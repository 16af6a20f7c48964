/**
 * Reads a YAML file into plain values, or says on which line it is not YAML. Duplicate keys, several documents, unknown
 * tags and aliases are refused: a configuration that reads differently to two people is worse than none. (Aliases
 * would also let a kilobyte of text stand for gigabytes; routes inherit from `defaults` instead.)
 */
import { readFileSync } from "node:fs";
import { type ErrorCode, LineCounter, parseDocument, visit } from "yaml";

/** `problems` are whole lines with `FILE:LINE:COLUMN`. */
export type ReadYaml =
  | { readonly kind: "tree"; readonly tree: unknown }
  | { readonly kind: "faulty"; readonly problems: readonly string[] };

/** The library's own messages quote the file, which may hold secrets: these do not. */
const SYNTAX: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: "an alias cannot have an anchor or a tag",
  BAD_ALIAS: "not a valid alias",
  BAD_COLLECTION_TYPE: "the tag does not fit what follows it",
  BAD_DIRECTIVE: "not a valid directive",
  BAD_DQ_ESCAPE: "not a valid escape in \"…\"; use '…' or double the backslash",
  BAD_INDENT: "the indentation does not fit the lines around it",
  BAD_PROP_ORDER: "an anchor or tag in the wrong place",
  BAD_SCALAR_START: "a value cannot begin with this character; put it in quotes",
  BLOCK_AS_IMPLICIT_KEY:
    "a mapping or list inside a one-line key; is a line break or a quote missing?",
  BLOCK_IN_FLOW: "an indented mapping or list inside { } or [ ]",
  DUPLICATE_KEY: "the same key stands twice in one mapping",
  IMPOSSIBLE: "not valid YAML",
  KEY_OVER_1024_CHARS: "a key longer than 1024 characters",
  MISSING_CHAR: "a character is missing: a colon, a comma, a quote or a bracket",
  MULTILINE_IMPLICIT_KEY: "a key that spans lines; is a colon or a quote missing?",
  MULTIPLE_ANCHORS: "more than one anchor",
  MULTIPLE_DOCS: "more than one document; a configuration is one",
  MULTIPLE_TAGS: "more than one tag",
  NON_STRING_KEY: "a key must be text",
  RESOURCE_EXHAUSTION: "nested too deeply",
  TAB_AS_INDENT: "a tab as indentation; use spaces",
  TAG_RESOLVE_FAILED: "a tag that is not known, or does not fit its value",
  UNEXPECTED_TOKEN: "something that does not belong here; are quotes missing?",
};

/** Reads and parses; a file that cannot be read is a problem like any other. */
export function readYaml(file: string): ReadYaml {
  let source: string;
  try {
    source = readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    return { kind: "faulty", problems: [`${file}: cannot be read (${code}); name a YAML file`] };
  }
  return parseYaml(source, file);
}

/** `file` is what the problems call it. */
export function parseYaml(source: string, file: string): ReadYaml {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  // A warning is a tag that the library passes over; passing over is not for a configuration.
  const faults = [...document.errors, ...document.warnings].map(
    ({ code, pos }) => `${at(pos[0])}: ${SYNTAX[code]}`,
  );
  visit(document, {
    Alias: (_key, node) => {
      const where = at(node.range?.[0] ?? 0);
      faults.push(`${where}: aliases (*name) are not read; routes inherit from defaults`);
    },
  });
  if (faults.length > 0) return { kind: "faulty", problems: faults };
  // An empty file says nothing, and nothing is what it changes.
  return { kind: "tree", tree: document.toJS({ maxAliasCount: 0 }) ?? {} };
}
