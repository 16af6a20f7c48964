/**
 * What `--help` prints: made from the tables of `flags.ts`, so that no flag is missing here. The keys of the file are
 * not listed; they have a reference of their own.
 */
import { ACTIONS, SETTINGS, variableOf } from "./flags.ts";

const settings = Object.entries(SETTINGS);

/** Ends with a line feed. */
export function helpText(): string {
  const flags = settings
    .filter(([, { environmentOnly }]) => environmentOnly !== true)
    .map(([name, { value, help }]) =>
      row(value === undefined ? `--${name}` : `--${name} ${value}`, help),
    );
  const actions = Object.entries(ACTIONS).map(([name, help]) => row(`--${name}`, help));
  const variables = settings.map(([name, { value, environmentOnly }]) =>
    row(
      `${variableOf(name)}=${value ?? "true|false"}`,
      environmentOnly === true ? "token for the records API; has no flag" : `as --${name}`,
    ),
  );
  return `Usage: idempotency-gateway [FLAG]...
       idempotency-gateway records COMMAND [FLAG]...

A reverse proxy that makes unsafe HTTP requests safe to retry. With "records" the records of a running one are listed,
shown, resolved and forgotten; see idempotency-gateway records --help.

Flags:
${flags.join("\n")}

${actions.join("\n")}

Environment (a flag overrides it, it overrides the file):
${variables.join("\n")}

Exit status:
  0  after a graceful stop, and after --check, --print-config, --help, --version
  1  a failure at run time
  2  bad configuration

Every key of the configuration file is explained in docs/configuration.md.
`;
}

function row(what: string, help: string): string {
  // Long names get a line of their own, so that the explanations stay in one column.
  return what.length > 24 ? `  ${what}\n${" ".repeat(28)}${help}` : `  ${what.padEnd(26)}${help}`;
}
