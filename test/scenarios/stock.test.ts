/**
 * Stock: an order is well formed and yet refused, because of what is in stock or who orders. The refusal is the answer
 * to this order for good; a new order needs a new key.
 */
import type { Responder } from "../support/upstream.ts";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";

interface Order {
  readonly product: string;
  readonly amount: number;
}

/** Sells what it has. Looks, thinks, and takes; knows nothing of keys. */
class Shop {
  readonly stock = new Map([
    ["bulb", 2],
    ["crown", 1],
  ]);
  asked = 0;
  sold = 0;

  readonly respond: Responder = async (request, _req, res) => {
    this.asked += 1;
    const { product, amount } = JSON.parse(request.body.toString()) as Order;
    const answer = (status: number, body: unknown): void => {
      // Another number in each answer: what is told again can be told from what is judged again.
      res.writeHead(status, { "Content-Type": "application/json", "X-Ticket": `${this.asked}` });
      res.end(JSON.stringify(body));
    };
    const left = this.stock.get(product);
    if (left === undefined) return answer(422, { error: "unknown product" });
    if (product === "crown") return answer(403, { error: "not for sale" });
    if (left < amount) return answer(409, { error: "too few left", left });
    await new Promise((resolve) => setImmediate(resolve));
    this.stock.set(product, left - amount);
    this.sold += 1;
    return answer(201, { product, left: left - amount });
  };
}

let shop = new Shop();
const newShop = (): Responder => {
  shop = new Shop();
  return shop.respond;
};

const order = (base: string, key: string | undefined, body: string | Order): Promise<Answer> =>
  call(`${base}/products/stock`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(key !== undefined && { "Idempotency-Key": key }),
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

const REFUSED: readonly (readonly [number, Order])[] = [
  [403, { product: "crown", amount: 1 }],
  [409, { product: "bulb", amount: 5 }],
  [422, { product: "harp", amount: 1 }],
];

await inEveryDeployment(
  "403, 409 and 422 are the answer to this order: retries get it again, also when stock has arrived",
  exampleSettings("stock"),
  newShop,
  async (t, { url }) => {
    const keyOf = (status: number): string => `order-${status}`;
    const first = await Promise.all(
      REFUSED.map(([status, body]) => order(url(0), keyOf(status), body)),
    );
    t.same(
      first.map(({ status }) => status),
      [403, 409, 422],
    );
    t.equal(shop.asked, 3);

    shop.stock.set("bulb", 100).set("harp", 100);
    for (const [n, [status, body]] of REFUSED.entries()) {
      const again = await order(url(1), keyOf(status), body);
      t.same([again.status, again.body], [first[n]?.status, first[n]?.body]);
      t.equal(again.header("X-Ticket"), first[n]?.header("X-Ticket"));
      t.equal(again.header("Content-Type"), "application/json");
      t.equal(again.header("Idempotent-Replayed"), "true");
    }
    t.same([shop.asked, shop.sold], [3, 0], "the upstream is not asked again");
  },
);

await inEveryDeployment(
  "a corrected order with the old key is 409 key-reused; with a new key it is placed, once",
  exampleSettings("stock"),
  newShop,
  async (t, { url }) => {
    const tooMany = { product: "bulb", amount: 5 };
    const corrected = { product: "bulb", amount: 2 };
    t.equal((await order(url(0), "order-1", tooMany)).status, 409);

    const reused = await order(url(1), "order-1", corrected);
    t.match([reused.status, reused.json()["code"]], [409, "key-reused"]);
    t.match(reused.json()["original"], { method: "POST", target: "/products/stock", status: 409 });
    t.notMatch(reused.body.toString(), /bulb|too few/u, "nothing of the stored payload");
    t.equal(shop.asked, 1);

    const placed = await Promise.all([0, 1].map((n) => order(url(n), "order-2", corrected)));
    const first = placed.find(({ status }) => status === 201);
    t.match(first?.json(), { product: "bulb", left: 0 });
    // Beside the first, the other meets it in flight or done.
    t.ok(placed.every(({ status }) => status === 201 || status === 409));
    const spaced = '{ "amount": 2, "product": "bulb" }';
    t.same((await order(url(1), "order-2", spaced)).body, first?.body, "the same order by meaning");
    t.same([shop.asked, shop.sold, shop.stock.get("bulb")], [2, 1, 0]);
  },
);

await inEveryDeployment(
  "an order without a key is 428 and the upstream is not called",
  exampleSettings("stock"),
  newShop,
  async (t, { url }) => {
    const answer = await order(url(0), undefined, { product: "bulb", amount: 1 });
    t.match([answer.status, answer.json()["code"]], [428, "key-missing"]);
    t.equal(shop.asked, 0);
  },
);

const example = exampleSettings("stock");
const [route] = example["routes"] as readonly Readonly<Record<string, unknown>>[];

await inEveryDeployment(
  "with respond.release a 409 frees the key: the same order works once stock has arrived",
  { ...example, routes: [{ ...route, respond: { release: [409] } }] },
  newShop,
  async (t, { url }) => {
    const tooMany = { product: "bulb", amount: 5 };
    const refused = await order(url(0), "order-1", tooMany);
    t.same([refused.status, refused.header("Idempotency-Status")], [409, "released"]);
    shop.stock.set("bulb", 100);
    t.equal((await order(url(1), "order-1", tooMany)).status, 201);
    t.equal((await order(url(0), "order-1", tooMany)).header("Idempotent-Replayed"), "true");
    t.same([shop.asked, shop.sold, shop.stock.get("bulb")], [2, 1, 95]);
  },
);
