/**
 * Reads the types of a file of the console and holds JSON to them: a member that no type names, one that is missing, and a
 * value of another kind are told, with where. Knows as much of TypeScript's types as that file uses, and refuses the rest.
 */
import { parseSync, type TSSignature, type TSType } from "oxc-parser";

type Member = { readonly name: string; readonly optional: boolean; readonly type: TSType };

interface Shape {
  readonly members: readonly Member[];
  /** Members of other names may be there. */
  readonly open: boolean;
}

export interface Shapes {
  /** What is wrong with `value`, which should be of the type of that name; empty where nothing is. */
  complaints(value: unknown, name: string): readonly string[];
  /** Members of the types, `Interface.member`, that no value had so far. */
  unseen(): readonly string[];
}

type Judge = (value: unknown, type: TSType, at: string) => readonly string[];

export function readShapes(path: string, text: string): Shapes {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} cannot be read`);
  const shapes = new Map<string, Shape>();
  const aliases = new Map<string, TSType>();
  for (const { declaration } of program.body.flatMap((statement) =>
    statement.type === "ExportNamedDeclaration" ? [statement] : [],
  )) {
    if (declaration?.type === "TSInterfaceDeclaration") {
      // What a type builds on stands above it.
      const parts = declaration.extends.map(({ expression }) =>
        expression.type === "Identifier" ? shapes.get(expression.name) : undefined,
      );
      const own = shapeOf(declaration.body.body);
      shapes.set(declaration.id.name, {
        members: [...parts.flatMap((part) => part?.members ?? []), ...own.members],
        open: own.open || parts.some((part) => part?.open !== false),
      });
    }
    if (declaration?.type === "TSTypeAliasDeclaration") {
      aliases.set(declaration.id.name, declaration.typeAnnotation);
    }
  }
  const all = [...shapes].flatMap(([name, shape]) => membersBelow(shape, name));
  const seen = new Set<string>();

  const object = (value: unknown, shape: Shape, at: string, owner: string): readonly string[] => {
    if (!isObject(value)) return [`${at}: is no object`];
    const { members, open } = shape;
    const known = new Set(members.map(({ name }) => name));
    const extra = open ? [] : Object.keys(value).filter((name) => !known.has(name));
    const found = members.flatMap(({ name, optional, type }) => {
      if (!(name in value)) return optional ? [] : [`${at}.${name}: is missing`];
      seen.add(`${owner}.${name}`);
      return judge(value[name], type, `${at}.${name}`, `${owner}.${name}`);
    });
    return [...extra.map((name) => `${at}.${name}: is in no type`), ...found];
  };
  const named = (value: unknown, name: string, at: string): readonly string[] => {
    const alias = aliases.get(name);
    if (alias !== undefined) return judge(value, alias, at, name);
    const shape = shapes.get(name);
    if (shape === undefined) throw new Error(`no type ${name}`);
    return object(value, shape, at, name);
  };
  const judge = (value: unknown, type: TSType, at: string, owner: string): readonly string[] => {
    const inner: Judge = (item, itemType, itemAt) => judge(item, itemType, itemAt, owner);
    if (type.type === "TSTypeLiteral") return object(value, shapeOf(type.members), at, owner);
    if (type.type === "TSTypeReference") {
      const { typeName, typeArguments } = type;
      const name = typeName.type === "Identifier" ? typeName.name : "";
      const [first, second] = typeArguments?.params ?? [];
      if (name === "Readonly" && first !== undefined) return inner(value, first, at);
      if (name === "Record" && second !== undefined) return each(value, second, at, inner);
      return named(value, name, at);
    }
    return plain(value, type, at, inner);
  };
  return {
    complaints: (value, name) => named(value, name, name),
    unseen: () => all.filter((member) => !seen.has(member)),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function each(value: unknown, type: TSType, at: string, judge: Judge): readonly string[] {
  if (!isObject(value)) return [`${at}: is no object`];
  return Object.entries(value).flatMap(([name, item]) => judge(item, type, `${at}.${name}`));
}

const KEYWORDS: Readonly<Record<string, string>> = {
  TSStringKeyword: "string",
  TSNumberKeyword: "number",
  TSBooleanKeyword: "boolean",
};

/** Everything that has no name. */
function plain(value: unknown, type: TSType, at: string, judge: Judge): readonly string[] {
  switch (type.type) {
    case "TSUnknownKeyword":
      return [];
    case "TSNullKeyword":
      return value === null ? [] : [`${at}: is not null`];
    case "TSLiteralType": {
      const { literal } = type;
      return "value" in literal && literal.value === value ? [] : [`${at}: is another word`];
    }
    case "TSTypeOperator":
    case "TSParenthesizedType":
      return judge(value, type.typeAnnotation, at);
    case "TSArrayType":
      if (!Array.isArray(value)) return [`${at}: is no list`];
      return value.flatMap((item, n) => judge(item, type.elementType, `${at}[${n}]`));
    case "TSTupleType": {
      const { elementTypes } = type;
      if (!Array.isArray(value) || value.length !== elementTypes.length) {
        return [`${at}: is no list of ${elementTypes.length}`];
      }
      return elementTypes.flatMap((element, n) => {
        if (element.type !== "TSNamedTupleMember") throw new Error(`${at}: a member without name`);
        return judge(value[n], element.elementType as TSType, `${at}[${n}]`);
      });
    }
    case "TSUnionType": {
      const tried = type.types.map((one) => judge(value, one, at));
      return tried.some((found) => found.length === 0) ? [] : (tried.at(-1) ?? []);
    }
    default: {
      const kind = KEYWORDS[type.type];
      if (kind === undefined) throw new Error(`${at}: ${type.type} is not understood`);
      return typeof value === kind ? [] : [`${at}: is no ${kind}`];
    }
  }
}

function shapeOf(parts: readonly { readonly type: string }[]): Shape {
  const members: Member[] = [];
  let open = false;
  for (const part of parts as Parameters<typeof memberOf>[0][]) {
    if (part.type === "TSIndexSignature") open = true;
    else members.push(memberOf(part));
  }
  return { members, open };
}

function memberOf(part: TSSignature): Member {
  if (part.type !== "TSPropertySignature" || part.key.type !== "Identifier") {
    throw new Error(`${part.type} is not understood`);
  }
  if (part.typeAnnotation === null) throw new Error(`${part.key.name} has no type`);
  const { typeAnnotation } = part.typeAnnotation;
  return { name: part.key.name, optional: part.optional, type: typeAnnotation };
}

/** Its members, and those of the objects that stand in it without a name. */
function membersBelow({ members }: Shape, owner: string): readonly string[] {
  return members.flatMap(({ name, type }) => {
    const here = `${owner}.${name}`;
    return [here, ...literalsIn(type).flatMap((shape) => membersBelow(shape, here))];
  });
}

function literalsIn(type: TSType): readonly Shape[] {
  switch (type.type) {
    case "TSTypeLiteral":
      return [shapeOf(type.members)];
    case "TSTypeOperator":
    case "TSParenthesizedType":
      return literalsIn(type.typeAnnotation);
    case "TSArrayType":
      return literalsIn(type.elementType);
    case "TSUnionType":
      return type.types.flatMap(literalsIn);
    default:
      return [];
  }
}
