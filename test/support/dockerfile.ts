/** Reads a Dockerfile into its stages. Knows no more of the format than the one of this repository uses. */

export interface Instruction {
  name: string;
  text: string;
}

/** The stages of a Dockerfile, each beginning with its FROM. Continued lines are joined, comments left out. */
export function stagesOf(dockerfile: string): Instruction[][] {
  const lines = dockerfile.replace(/^\s*#.*\n/gm, "").replace(/\\\n/g, " ");
  const stages: Instruction[][] = [];
  for (const line of lines.split("\n").filter((each) => each.trim() !== "")) {
    const [, name = "", text = ""] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
    if (name === "FROM") stages.push([]);
    stages.at(-1)?.push({ name, text });
  }
  return stages;
}
