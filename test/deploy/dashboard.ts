/** The dashboard that is shipped, as data, and its queries as Grafana would send them. What they find is the tests' affair. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/bundled.ts";

export interface Grid {
  readonly h: number;
  readonly w: number;
  readonly x: number;
  readonly y: number;
}

export interface Step {
  readonly color: string;
  readonly value: number | null;
}

export interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: Grid;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly Target[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit: string;
      readonly decimals?: number;
      readonly thresholds?: { readonly steps: readonly Step[] };
      readonly mappings?: readonly {
        readonly options: Readonly<Record<string, { readonly text: string }>>;
      }[];
      readonly custom?: { readonly stacking?: unknown };
    };
  };
}

export interface Dashboard {
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly definition: string }[];
  };
  readonly annotations: {
    readonly list: readonly { readonly name: string; readonly expr: string }[];
  };
}

export const dashboard = JSON.parse(
  readFileSync(join(ROOT, "deploy/grafana/dashboards/idempotency-gateway.json"), "utf8"),
) as Dashboard;

/** With all jobs and routes chosen. */
export function filled(expr: string, rateInterval: string, range: string): string {
  return expr
    .replaceAll(/\$(job|route)/g, ".*")
    .replaceAll("$__rate_interval", rateInterval)
    .replaceAll("$__range", range);
}

/** What a series is called: `legendFormat` with the labels' values in it. */
export function legendOf(
  { legendFormat }: Target,
  metric: Readonly<Record<string, string>>,
): string {
  if (legendFormat === "") return "";
  return legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? "");
}
