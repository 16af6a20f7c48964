/**
 * Work that whoever asks shares: one round per name at a time, and whoever comes while one runs gets the next, which
 * begins after it was asked for. So the answer is never older than the question, and a crowd costs no more than two.
 */
export function sharedRounds<Answer>(): (
  name: string,
  work: () => Promise<Answer>,
) => Promise<Answer> {
  const running = new Map<string, { readonly now: Promise<Answer>; next?: Promise<Answer> }>();

  function begin(name: string, work: () => Promise<Answer>): Promise<Answer> {
    const round: { readonly now: Promise<Answer>; next?: Promise<Answer> } = {
      now: work().finally(() => {
        if (running.get(name) === round) running.delete(name);
      }),
    };
    running.set(name, round);
    return round.now;
  }

  return (name, work) => {
    const round = running.get(name);
    if (round === undefined) return begin(name, work);
    const start = (): Promise<Answer> => begin(name, work);
    return (round.next ??= round.now.then(start, start));
  };
}
