/** Is never read to its end. */
await new Promise(() => undefined);
