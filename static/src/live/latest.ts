// New rows on top of those that are there. Pure.

/** `news` (newest first) before `known`, each id once, at most `most`. */
export function onTop<T extends { id: string }>(news: T[], known: T[], most: number): T[] {
  const seen = new Set<string>()
  return [...news, ...known].filter((row) => !seen.has(row.id) && seen.add(row.id)).slice(0, most)
}
