/** What a client got back over one connection: the answers in it one by one, by their own framing. */
export interface RawAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: string;
  readonly whole: boolean;
}

const STATUS_LINE = /^HTTP\/1\.1 (\d{3}) [^\r\n]*$/;

/**
 * `methods`: of the requests that are answered, in order, because the answer to a HEAD has no body. 1xx answers are
 * skipped. A string says what is no answer.
 */
export function readAnswers(
  text: string,
  methods: readonly (string | undefined)[],
): readonly RawAnswer[] | string {
  const answers: RawAnswer[] = [];
  for (let at = 0; at < text.length;) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    if (headEnd < 0) return `no end of a head: ${JSON.stringify(text.slice(at, at + 200))}`;
    const [first = "", ...lines] = text.slice(at, headEnd).split("\r\n");
    const status = Number(STATUS_LINE.exec(first)?.[1] ?? 0);
    if (status === 0) return `no status line: ${JSON.stringify(text.slice(at, at + 200))}`;
    at = headEnd + 4;
    if (status < 200 && status !== 101) continue;
    const fields = new Map(lines.map(fieldOf));
    const bodiless =
      methods[answers.length] === "HEAD" || status === 101 || status === 204 || status === 304;
    const length = bodiless ? 0 : lengthOf(text, at, fields);
    const end = Math.min(text.length, at + length);
    answers.push({ status, fields, body: text.slice(at, end), whole: end - at === length });
    at = end;
  }
  return answers;
}

/** Everything the gateway and the recorder say has a Content-Length, or lasts until the connection ends. */
function lengthOf(text: string, at: number, fields: ReadonlyMap<string, string>): number {
  const length = fields.get("content-length");
  return length === undefined ? text.length - at : Number(length);
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
