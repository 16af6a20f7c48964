/** What a view of the page is: something that is shown, and told what changes. */
import type { Live } from "./live.ts";

export interface View {
  readonly title: string;
  readonly node: HTMLElement;
  /** Called when it is opened; `rest` is what follows its name in the address. */
  enter?(rest: string): void;
  /** Called while it is open, when something has changed. */
  update?(live: Live): void;
}
