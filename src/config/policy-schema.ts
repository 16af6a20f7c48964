/**
 * What may stand in a policy, key by key, in `defaults` and in each route: type, range, meaning. What a policy comes to
 * after inheriting is `inherit.ts`; what contradicts what is in `policy-contradictions.ts` and
 * `resource-contradictions.ts`.
 */
import * as field from "./fields.ts";
import { templateFault } from "./paths.ts";
import {
  authorizeFault,
  claimValueFault,
  docsUrlFault,
  fieldValueFault,
  jwksFault,
  keyNameFault,
  pointerFault,
  probeHeaderFault,
  probePathFault,
  requestHeaderFault,
  responseHeaderFault,
  secretFileFault,
  variableNameFault,
} from "./values.ts";

/** Keys of `status`, in the file's spelling; `STATUS_KEYS` in `resolve.ts` maps them to problem codes. */
const statusFields = {
  keyMissing: field.count("A required key is missing.", 400, 599),
  keyInvalid: field.count("The key is malformed.", 400, 599),
  keyReused: field.count("The key was used with another request.", 400, 599),
  inFlight: field.count("The first request is still running.", 400, 599),
  outcomeUnknown: field.count("Nobody knows whether the first request ran.", 400, 599),
  notReplayable: field.count("The first request ran, but its answer was not kept.", 400, 599),
  bodyTooLarge: field.count("The body is over limits.requestBytes.", 400, 599),
  storeUnavailable: field.count("The store does not answer.", 400, 599),
  bodyInvalid: field.count("The body is not what the route needs it to be.", 400, 599),
  conflict: field.count("The resource is another request's, or exists already.", 400, 599),
  stale: field.count("The resource has been changed since the first request.", 400, 599),
  preconditionRequired: field.count("If-Match or If-None-Match is missing.", 400, 599),
  preconditionFailed: field.count("If-Match or If-None-Match does not hold.", 400, 599),
  resourceLocked: field.count("Another request is changing the resource.", 400, 599),
  resourceUnnamed: field.count("The request does not say which resource it changes.", 400, 599),
  notFound: field.count("There is nothing to change (put: update-only).", 400, 599),
};

/** No defaults as a whole: left out, a route's requests are safe against their own retries only. */
const resource = field.group("What a route's requests change, and what may happen to it.", {
  id: field.wordOr(
    "path: the request's own path, without a query. pointers: fields of its JSON body. template: a path with {name} parts.",
    "path",
    "path, a mapping with pointers or a mapping with template",
    {
      pointers: field.list(
        "JSON Pointers into a JSON body; with the request's path they name the resource.",
        "a JSON Pointer such as /date",
        pointerFault,
      ),
      template: field.text(
        "/objects/{id}: each part is a path parameter, a query parameter or a member of the body.",
        "a path with {name} parts",
        templateFault,
      ),
    },
  ),
  serialize: field.choice(
    "One write at a time: wait for one's turn up to waitTimeout, or reject. Left out: wait where another key here needs it, else off.",
    ["off", "wait", "reject"],
  ),
  precondition: field.choice(
    "If-Match and If-None-Match: left to the upstream, judged by the gateway, or demanded of every write.",
    ["off", "honour", "required"],
  ),
  put: field.choice("What a PUT may do: both, create but not change, change but not create.", [
    "upsert",
    "create-only",
    "update-only",
  ]),
  once: field.flag("The first write that succeeds owns the resource; another request gets 409."),
  afterDelete: field.group("Remember that a resource was deleted. Left out: do not.", {
    remember: field.retention("How long."),
    put: field.oneStatus("What a PUT gets that would bring it back.", [403, 404, 409, 410]),
    delete: field.choice("A repeated DELETE: the first one's answer, or ask the upstream.", [
      "replay",
      "pass",
    ]),
  }),
});

/** The policy as `defaults` and each route write it: one table, so that neither has a key that the other lacks. */
export const policyFields = {
  mode: field.choice(
    "enforce: guard. shadow: observe and report, change nothing. off: pass everything through.",
    ["enforce", "shadow", "off"],
  ),
  profile: field.choice(
    "Whose statuses refusals carry: the gateway's, those of the IETF draft (07), or Stripe's.",
    ["default", "ietf", "stripe"],
  ),
  status: field.group("Statuses of single refusals, over the profile's.", statusFields),
  key: field.group("Where the idempotency key comes from.", {
    from: field.choice("header, query, path (a parameter of match.path) or body (see pointers).", [
      "header",
      "query",
      "path",
      "body",
    ]),
    name: field.text(
      "Name of the header, query parameter or path parameter. Left out with from: header: Idempotency-Key.",
      "a name",
      keyNameFault,
    ),
    pointers: field.list(
      "JSON Pointers into a JSON body; together they are the key. Only with from: body.",
      "a JSON Pointer such as /date",
      pointerFault,
    ),
    required: field.flag("Refuse unsafe requests without a key."),
    format: field.choice("any: 1 to 255 visible ASCII characters. uuid: a UUID and nothing else.", [
      "any",
      "uuid",
    ]),
  }),
  scope: field.group("Who a key belongs to.", {
    headers: field.headers(
      "Request headers whose values name the caller. Empty: all callers share one scope (single tenant).",
      requestHeaderFault,
    ),
    jwt: field.group(
      "The caller is who its bearer token says, verified here, so that a renewed token keeps its scope. In place of headers.",
      {
        jwks: field.text(
          "The issuer's public keys: an http(s) URL of a JSON Web Key Set, or file:PATH.",
          "a URL such as https://issuer.example/jwks.json",
          jwksFault,
        ),
        issuer: field.text("What the token's iss must be.", "text", claimValueFault),
        audience: field.text("What the token's aud must hold.", "text", claimValueFault),
        claims: field.list(
          "Claims that together name the caller; a token without one of them is refused.",
          "a claim such as sub",
          claimValueFault,
        ),
        clockTolerance: field.timer("What this clock and the issuer's may differ by."),
      },
    ),
  }),
  fingerprint: field.group("What makes two requests the same request.", {
    body: field.choice("raw: compare bytes. json: compare JSON by meaning.", ["raw", "json"]),
    headers: field.headers(
      "Further request headers that are part of what is asked for.",
      requestHeaderFault,
    ),
    ignore: field.list(
      "JSON Pointers left out of the comparison. Only with body: json.",
      "a JSON Pointer such as /sentAt",
      pointerFault,
    ),
  }),
  duplicates: field.group("Looking for requests without a key that are executed twice.", {
    report: field.flag(
      "Tell of those that repeat an earlier one: same caller, same route, same fingerprint. Changes nothing.",
    ),
    window: field.timer("How long after a request the same one counts as its duplicate."),
  }),
  onInFlight: field.choice(
    "A duplicate of a running request: refuse it, or hold it until the answer is there.",
    ["reject", "wait"],
  ),
  waitTimeout: field.timer(
    "How long onInFlight: wait holds a duplicate at most, and resource.serialize: wait a write.",
  ),
  onStoreError: field.choice(
    "The store does not answer: refuse, or send without a claim (a retry may then run twice).",
    ["reject", "bypass"],
  ),
  onUnknown: field.choice(
    "A retry of an unknown outcome: refuse it, send it again, decide by method (send PUT and DELETE again), or ask the upstream what became of it (see probe).",
    ["by-method", "block", "resend", "probe"],
  ),
  probe: field.group("Asking the upstream about unknown outcomes; with onUnknown: probe.", {
    path: field.text(
      "Where the upstream tells what became of a key: a path, and a query where it needs one, with {key} in it.",
      "a path with {key} in it",
      probePathFault,
    ),
    as: field.choice(
      "caller: with the credentials of the retry that is waiting, and only then. gateway: with none but those of headers, and without a retry too.",
      ["caller", "gateway"],
    ),
    timeout: field.timer("How long one question may take; the retry waits for it."),
    releaseAfter: field.retention(
      "How long after an outcome became unknown a 404 counts for nothing. Left out: store.lease.",
    ),
    headers: field.listOf(
      "Header fields that every probe carries.",
      field.group("One field, with its value in one of three places.", {
        name: field.text("The field's name.", "a header name", probeHeaderFault),
        value: field.text("Its value, where that is no secret.", "text", fieldValueFault),
        env: field.text(
          "Environment variable that holds it.",
          "the name of a variable",
          variableNameFault,
        ),
        file: field.text("File that holds it and nothing else.", "a path", secretFileFault),
      }),
    ),
  }),
  retention: field.group("How long records are kept.", {
    completed: field.retention("Recorded answers."),
    unknown: field.retention("Unknown outcomes."),
  }),
  limits: field.group("How much is held in memory and recorded.", {
    requestBytes: field.size("Largest body of a guarded request."),
    responseBytes: field.size(
      "Largest answer that is kept for replay; a larger one is streamed and not kept.",
    ),
  }),
  respond: field.group("What the upstream's statuses mean.", {
    release: field.statuses(
      "Not processed: the key is free again. Adds to 401, 407, 408, 421, 425, 429, 503.",
    ),
    unknown: field.statuses("The outcome is unknown. Adds to 502, 504."),
    record: field.statusesOr(
      "An answer like any other, although the built-in lists say otherwise. never: no answer is recorded, only that the request was executed.",
      "never",
    ),
  }),
  replay: field.group("How a recorded answer is told again.", {
    dropHeaders: field.headers("Response headers that are not recorded.", responseHeaderFault),
    status: field.statusMap('Recorded status to the status of the replay: {"201": 200}.'),
    as: field.choice(
      "recorded: the answer again. see-other: 303 to its Location. found: 302 to it. conflict: a refusal that tells of the original.",
      ["recorded", "see-other", "found", "conflict"],
    ),
    conflictStatus: field.oneStatus("With as: conflict: its status.", [403, 409, 422]),
    conflictBody: field.choice(
      "With as: conflict: a problem that tells of the original, or the recorded body.",
      ["problem", "recorded"],
    ),
    whenChanged: field.choice(
      "The resource was changed since by another request: replay all the same, or refuse as stale. conflict needs a resource.",
      ["replay", "conflict"],
    ),
    authorize: field.text(
      "Asked with the caller's credentials before it is told of a record: 2xx allows it, anything else refuses. Empty: nobody is asked.",
      "a URL such as http://127.0.0.1:4000/may-see",
      authorizeFault,
    ),
    authorizeTimeout: field.timer("How long that may take."),
  }),
  resource,
  docsUrl: field.text(
    "Documentation for callers, linked from every refusal. Empty: no link.",
    "text",
    docsUrlFault,
  ),
};
