/**
 * Reads one source file into the facts that the architecture rules judge: imports, re-exports, uses of globals. Parses,
 * so that a comment or a string is never taken for code. Judges nothing.
 */
import { parseSync, Visitor } from "oxc-parser";

export interface Import {
  specifier: string;
  typeOnly: boolean;
  /** Imported names; `default` and `*` as they are. Empty for an import for its effect. */
  names: string[];
}

export interface SourceFacts {
  parseErrors: string[];
  imports: Import[];
  reExportsAll: boolean;
  /**
   * Global identifiers as they are used: `Date.now` where a member is read, `Date()` and `new Date()` for calls without
   * arguments, else the bare name. A name that the file itself declares is not global.
   */
  globals: string[];
}

export function readSource(path: string, text: string): SourceFacts {
  const { program, errors } = parseSync(path, text);
  const imports: Import[] = [];
  const declared = new Set<string>();
  const uses: { name: string; shown: string }[] = [];
  const seen = new Set<number>();
  let reExportsAll = false;

  const declare = (pattern: { type: string }) => {
    for (const name of namesIn(pattern)) declared.add(name);
  };
  const use = (node: { name: string; start: number }, shown: string) => {
    uses.push({ name: node.name, shown });
    seen.add(node.start);
  };

  new Visitor({
    ImportDeclaration(node) {
      const names = node.specifiers.map((each) => {
        declared.add(each.local.name);
        if (each.type === "ImportNamespaceSpecifier") return "*";
        if (each.type === "ImportDefaultSpecifier") return "default";
        return each.imported.type === "Identifier" ? each.imported.name : each.imported.value;
      });
      const typeOnly =
        node.importKind === "type" ||
        (node.specifiers.length > 0 &&
          node.specifiers.every(
            (each) => each.type === "ImportSpecifier" && each.importKind === "type",
          ));
      imports.push({ specifier: node.source.value, typeOnly, names });
    },
    ExportNamedDeclaration(node) {
      if (node.source === null) return;
      const typeOnly = node.exportKind === "type";
      imports.push({ specifier: node.source.value, typeOnly, names: ["*"] });
    },
    ExportAllDeclaration(node) {
      reExportsAll = true;
      imports.push({ specifier: node.source.value, typeOnly: false, names: ["*"] });
    },
    ImportExpression(node) {
      // A computed specifier cannot be judged, so it is not allowed to be one.
      const { source } = node;
      const specifier =
        source.type === "Literal" && typeof source.value === "string" ? source.value : "(computed)";
      imports.push({ specifier, typeOnly: false, names: ["*"] });
    },
    TSImportType(node) {
      imports.push({ specifier: node.source.value, typeOnly: true, names: ["*"] });
    },
    VariableDeclarator: (node) => declare(node.id),
    FunctionDeclaration(node) {
      if (node.id !== null) declared.add(node.id.name);
      node.params.forEach(declare);
    },
    FunctionExpression: (node) => node.params.forEach(declare),
    ArrowFunctionExpression: (node) => node.params.forEach(declare),
    MemberExpression(node) {
      // `options.process` names a member, not the global.
      if (!node.computed) seen.add(node.property.start);
      if (node.object.type !== "Identifier") return;
      const member =
        !node.computed && node.property.type === "Identifier"
          ? node.property.name
          : node.property.type === "Literal"
            ? String(node.property.value)
            : "[]";
      use(node.object, `${node.object.name}.${member}`);
    },
    Property(node) {
      if (!node.computed && !node.shorthand) seen.add(node.key.start);
    },
    NewExpression(node) {
      if (node.callee.type !== "Identifier") return;
      use(node.callee, `new ${node.callee.name}(${node.arguments.length > 0 ? "…" : ""})`);
    },
    CallExpression(node) {
      if (node.callee.type !== "Identifier") return;
      use(node.callee, `${node.callee.name}()`);
      // `once(process, "disconnect")` listens to it and reads nothing of it.
      const [emitter] = node.arguments;
      if (node.callee.name === "once" && emitter?.type === "Identifier") {
        use(emitter, `once(${emitter.name})`);
      }
    },
    Identifier(node) {
      if (!seen.has(node.start)) uses.push({ name: node.name, shown: node.name });
    },
  }).visit(program);

  const globals = uses.filter(({ name }) => !declared.has(name)).map(({ shown }) => shown);
  return {
    parseErrors: errors.map((error) => error.message),
    imports,
    reExportsAll,
    globals: [...new Set(globals)],
  };
}

/** Every name that a binding pattern declares. */
function namesIn(pattern: unknown): string[] {
  if (typeof pattern !== "object" || pattern === null) return [];
  if (!("type" in pattern)) return [];
  if (pattern.type === "Identifier" && "name" in pattern) return [String(pattern.name)];
  const parts: unknown[] = [];
  for (const field of ["left", "argument", "value", "elements", "properties", "parameter"]) {
    const part: unknown = Reflect.get(pattern, field);
    if (Array.isArray(part)) parts.push(...(part as unknown[]));
    else parts.push(part);
  }
  return parts.flatMap(namesIn);
}
