// New rows on top of those that are there. Pure.

/** `news` among `known`, newest first, each once, at most `most`. Ids rise with the time a call was accepted, as the list goes. */
export function onTop<T extends { id: string }>(news: T[], known: T[], most: number): T[] {
  const seen = new Set<string>()
  return [...news, ...known]
    .filter((row) => !seen.has(row.id) && seen.add(row.id))
    .sort((a, b) => (a.id < b.id ? 1 : -1))
    .slice(0, most)
}
