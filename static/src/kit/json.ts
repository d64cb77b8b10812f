export function prettyJson(value: unknown): { text: string; isJson: boolean } {
  if (typeof value !== 'string') return { text: JSON.stringify(value, null, 2) ?? '', isJson: true }
  try {
    return { text: JSON.stringify(JSON.parse(value), null, 2), isJson: true }
  } catch {
    return { text: value, isJson: false }
  }
}
