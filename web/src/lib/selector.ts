/** The matching language of the server, as far as the page writes it. */

/** A value as it stands in a selector. */
export function quoted(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}

/** The selectors of events of `types` about a project, whichever field names it. Nothing for all projects. */
export function about(types: readonly string[], project: string, branch: string): string[] {
  const rest = branch ? `,branch=${quoted(branch)}` : '';
  if (!project) return types.map((it) => (branch ? `${it}{branch=${quoted(branch)}}` : it));
  const name = quoted(project);
  return types.flatMap((it) => [
    `${it}{project=${name}${rest}}`,
    `${it}{project="",repository=${name}${rest}}`,
    `${it}{project="",repository="",repo=${name}${rest}}`,
  ]);
}
